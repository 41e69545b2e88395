#include "fovea/report/report.h"

#include <fmt/format.h>

#include "fovea/base/error.h"
#include "fovea/base/file.h"
#include "fovea/report/html.h"
#include "fovea/report/tidy.h"

namespace fovea::report {
namespace {

void write(const std::filesystem::path& file, const std::string& bytes) {
  std::error_code failure;
  std::filesystem::create_directories(file.parent_path(), failure);
  if (failure)
    throw Error(ErrorId::cannot_write, fmt::format("cannot make the folder `{}`: {}", file.parent_path().string(), failure.message()));
  replace_file(file, bytes);
}

}  // namespace

void write_report(const std::filesystem::path& folder, RunLogs logs) {
  const Comparison comparison = read_comparison(folder / "result.json");
  write(folder / "result.csv", tidy_csv(comparison));
  write(folder / "table.md", comparison_table(comparison, Style::markdown));
  for (const NamedFile& file : tensorboard_files(comparison)) write(folder / file.name, file.bytes);
  if (logs == RunLogs::mlperf)
    for (const NamedFile& file : mlperf_logs(comparison)) write(folder / file.name, file.bytes);
  write(folder / "report.html", html_page(comparison));
}

}  // namespace fovea::report
