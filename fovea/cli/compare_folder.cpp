#include "fovea/cli/compare_folder.h"

#include <fmt/format.h>

#include "fovea/base/error.h"
#include "fovea/base/file.h"
#include "fovea/report/tidy.h"
#include "fovea/study/compare.h"
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

// The result of a comparison that was to be replaced, until a new one has come to its end.
fs::path kept_result(const fs::path& folder, int n) { return folder / fmt::format("replaced-{}.json", n); }

// The folders that it made: speed alone makes none.
Names runs_of(const report::Comparison& comparison) {
  Names names;
  if (comparison.mode != "training") return names;
  for (const report::ComparedRow& row : comparison.rows)
    for (const report::ComparedRun& run : row.runs)
      if (row.status == report::Status::ran) names.insert(study::run_name(row.id, run.seed, comparison.seeds.size()));
  return names;
}

// A record may have been changed: what it names leads nowhere else.
bool is_plain(const fs::path& name) { return !name.empty() && name == name.filename() && name != "." && name != ".."; }

// What a run leaves there, and the folder if that was all.
void remove_run(const fs::path& folder) {
  if (fs::symlink_status(folder).type() != fs::file_type::directory || !is_there(folder / train::config_file)) return;
  train::clear_run_folder(folder);
  std::error_code failure;
  fs::remove(folder / train::log_file, failure);
  fs::remove(folder, failure);
}

void remove_empty_folders_around(const fs::path& file, const fs::path& top) {
  std::error_code failure;
  for (fs::path folder = file.parent_path(); folder != top && fs::is_empty(folder, failure) && !failure; folder = folder.parent_path())
    fs::remove(folder, failure);
}

}  // namespace

CompareFolder::CompareFolder(const fs::path& name, Earlier earlier) : path_(name) {
  for (int n = 1; path_.empty() || (name.empty() && is_there(path_)); ++n) path_ = fs::path("runs") / fmt::format("compare-{}", n);
  const fs::path result = path_ / result_file;
  int n = 1;
  for (; is_there(kept_result(path_, n)); ++n)
    if (take_note(kept_result(path_, n))) results_before_.push_back(kept_result(path_, n));
  if (earlier == Earlier::refused && (is_there(result) || !results_before_.empty()))
    throw Error(ErrorId::folder_holds_a_run, fmt::format("the folder `{}` holds a comparison or a run already", path_.string()))
        .help("name another --out, or give --overwrite to replace it");
  std::error_code failure;
  if (is_there(result) && take_note(result)) {
    results_before_.push_back(kept_result(path_, n));
    fs::rename(result, results_before_.back(), failure);
    if (failure) throw Error(ErrorId::cannot_write, fmt::format("cannot rename `{}`: {}", result.string(), failure.message()));
  }
  fs::remove(result, failure);  // until there is a new one, the folder holds none
  fs::create_directories(path_, failure);
  if (failure) throw Error(ErrorId::cannot_write, fmt::format("cannot make the folder `{}`: {}", path_.string(), failure.message()));
}

bool CompareFolder::take_note(const fs::path& result) {
  try {
    const report::Comparison before = report::read_comparison(result);
    files_before_.merge(logs_of(before, report::RunLogs::mlperf));
    runs_before_.merge(runs_of(before));
    std::erase_if(runs_before_, [](const fs::path& run) { return !is_plain(run); });
    return true;
  } catch (const Error&) {  // no comparison, or none that can be read: it names nothing
    return false;
  }
}

void CompareFolder::remove_leftovers(const study::CompareSettings& settings, report::RunLogs logs) const {
  const report::Comparison now = report::read_comparison(path_);
  const Names files = logs_of(now, logs);
  Names runs;
  for (const report::ComparedRow& row : now.rows)
    for (int64_t i = 0; i < settings.seeds && !settings.steps; ++i)
      runs.insert(study::run_name(row.id, settings.recipe.seed + i, static_cast<size_t>(settings.seeds)));
  for (const fs::path& run : runs_before_)
    if (!runs.contains(run)) remove_run(path_ / run);
  std::error_code failure;
  for (const fs::path& file : files_before_)
    if (!files.contains(file) && fs::remove(path_ / file, failure)) remove_empty_folders_around(path_ / file, path_);
  for (const fs::path& result : results_before_) fs::remove(result, failure);
}

}  // namespace fovea::cli
