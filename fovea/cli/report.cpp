// fovea report: the report of a comparison, made again from its result.json.
#include "fovea/report/report.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "fovea/cli/commands.h"

namespace fovea::cli {
namespace {

constexpr const char* description =
    R"(Makes the report of a comparison from the result.json in its folder: report.html, one page that needs no network, with the
table, every figure and the answers in words; result.csv, one line for each value; table.md; tensorboard/, event files of every run.

Examples:
  fovea report runs/compare-1
  fovea report runs/compare-1 --log mlperf       and mlperf/, a log of every run as MLPerf has them
  tensorboard --logdir runs/compare-1/tensorboard
)";

struct Arguments {
  std::string folder, log;
  bool quiet = false, markdown = false;
};

void make_report(const Arguments& arguments) {
  const std::filesystem::path folder = arguments.folder;
  report::write_report(folder, arguments.log.empty() ? report::RunLogs::none : report::RunLogs::mlperf);
  if (arguments.quiet) return;
  const report::Style style = arguments.markdown ? report::Style::markdown : report::Style::terminal;
  fmt::print("{}\nthe report is {}\n", report::comparison_table(report::read_comparison(folder), style), (folder / "report.html").string());
}

}  // namespace

void add_report(CLI::App& program) {
  CLI::App* command = program.add_subcommand("report", description);
  const auto arguments = std::make_shared<Arguments>();
  command->add_option("folder", arguments->folder, "that `fovea compare` left")->type_name("DIR")->required();
  command->add_option("--log", arguments->log, "also a log of every run: mlperf")->type_name("KIND")->check(CLI::IsMember({"mlperf"}));
  command->add_flag("--markdown", arguments->markdown, "print the table as Markdown");
  command->add_flag("--quiet", arguments->quiet, "print nothing but errors");
  command->callback([arguments] { make_report(*arguments); });
}

}  // namespace fovea::cli
