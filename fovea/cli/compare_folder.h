// The folder of a comparison: made, or taken over from an earlier comparison.
#pragma once

#include <filesystem>
#include <optional>
#include <set>

#include "fovea/report/report.h"
#include "fovea/study/compare_settings.h"

namespace fovea::cli {

enum class Earlier : uint8_t { refused, replaced };

class CompareFolder {
 public:
  // The folder of that name, or runs/compare-<n>. Throws Error (usage) if it holds a comparison or a run already and that is refused.
  CompareFolder(const std::filesystem::path& name, Earlier earlier);
  const std::filesystem::path& path() const { return path_; }

  // When the new comparison and its report are written: the runs and logs that the earlier one names and the new one does not have.
  void remove_leftovers(const study::CompareSettings& settings, report::RunLogs logs) const;

 private:
  std::filesystem::path path_;
  std::set<std::filesystem::path> runs_before_, files_before_;  // below it
};

}  // namespace fovea::cli
