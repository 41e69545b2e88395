#include "fovea/cli/compare_folder.h"

#include <fmt/format.h>

#include "fovea/base/error.h"
#include "fovea/base/file.h"
#include "fovea/report/tidy.h"
#include "fovea/train/run_folder.h"

namespace fovea::cli {
namespace {

namespace fs = std::filesystem;
using Names = std::set<fs::path>;

constexpr const char* result_file = "result.json";

Names logs_of(const report::Comparison& comparison, report::RunLogs logs) {
  Names names;
  for (const report::NamedFile& file : report::tensorboard_files(comparison)) names.insert(file.name);
  if (logs == report::RunLogs::none) return names;
  for (const report::NamedFile& file : report::mlperf_logs(comparison)) names.insert(file.name);
  return names;
}

fs::path run_name(const report::ComparedRow& row, int64_t seed) { return fmt::format("{}-seed{}", row.id, seed); }

// A record may have been changed: what it names leads nowhere else.
bool is_plain(const fs::path& name) { return !name.empty() && name == name.filename() && name != "." && name != ".."; }

void remove_empty_folders_around(const fs::path& file, const fs::path& top) {
  std::error_code failure;
  for (fs::path folder = file.parent_path(); folder != top && fs::is_empty(folder, failure) && !failure; folder = folder.parent_path())
    fs::remove(folder, failure);
}

}  // namespace

CompareFolder::CompareFolder(const fs::path& name, Earlier earlier) : path_(name) {
  for (int n = 1; path_.empty() || (name.empty() && is_there(path_)); ++n) path_ = fs::path("runs") / fmt::format("compare-{}", n);
  if (is_there(path_ / result_file)) {
    if (earlier == Earlier::refused)
      throw Error(ErrorId::folder_holds_a_run, fmt::format("the folder `{}` holds a comparison or a run already", path_.string()))
          .help("name another --out, or give --overwrite to replace it");
    try {
      const report::Comparison before = report::read_comparison(path_);
      files_before_ = logs_of(before, report::RunLogs::mlperf);
      for (const report::ComparedRow& row : before.rows) {
        runs_before_.insert(row.id);
        for (const report::ComparedRun& run : row.runs) runs_before_.insert(run_name(row, run.seed));
      }
      std::erase_if(runs_before_, [](const fs::path& run) { return !is_plain(run); });
    } catch (const Error&) {  // no comparison, or none that can be read: it names nothing
    }
  }
  std::error_code failure;
  fs::remove(path_ / result_file, failure);  // until there is a new one, the folder holds none
  fs::create_directories(path_, failure);
  if (failure) throw Error(ErrorId::cannot_write, fmt::format("cannot make the folder `{}`: {}", path_.string(), failure.message()));
}

void CompareFolder::remove_leftovers(const study::CompareSettings& settings, report::RunLogs logs) const {
  const report::Comparison now = report::read_comparison(path_);
  const Names files = logs_of(now, logs);
  Names runs;
  for (const report::ComparedRow& row : now.rows)
    for (int64_t i = 0; i < settings.seeds && !settings.steps; ++i)
      runs.insert(settings.seeds > 1 ? run_name(row, settings.recipe.seed + i) : fs::path(row.id));
  std::error_code failure;
  for (const fs::path& run : runs_before_)
    if (!runs.contains(run) && is_there(path_ / run / train::config_file)) fs::remove_all(path_ / run, failure);
  for (const fs::path& file : files_before_)
    if (!files.contains(file) && fs::remove(path_ / file, failure)) remove_empty_folders_around(path_ / file, path_);
}

}  // namespace fovea::cli
