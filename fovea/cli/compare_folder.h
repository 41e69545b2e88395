// The folder of a comparison: made, or taken over from an earlier comparison.
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <vector>

#include "fovea/report/report.h"
#include "fovea/study/compare_settings.h"

namespace fovea::cli {

enum class Earlier : uint8_t { refused, replaced };

class CompareFolder {
 public:
  // The folder of that name, or runs/compare-<n>. Throws Error (usage) if it holds a comparison or a run already and that is refused. Its
  // result.json is kept as replaced-<n>.json until leftovers are removed.
  CompareFolder(const std::filesystem::path& name, Earlier earlier);
  const std::filesystem::path& path() const { return path_; }

  // When the new comparison has come to its end and its report is written: the runs and logs that earlier ones made and named and the new
  // one does not have. Of a run no more than the files that runs leave.
  void remove_leftovers(const study::CompareSettings& settings, report::RunLogs logs) const;

 private:
  bool take_note(const std::filesystem::path& result);  // of what it names; whether it is a comparison

  std::filesystem::path path_;
  std::set<std::filesystem::path> runs_before_, files_before_;  // below it
  std::vector<std::filesystem::path> results_before_;           // kept
};

}  // namespace fovea::cli
