// fovea table: finished runs beside each other.
#include "fovea/report/table.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "fovea/cli/commands.h"

namespace fovea::cli {
namespace {

constexpr const char* description = R"(Prints finished runs as a table.

Examples:
  fovea table runs/demo-*/result.json
  fovea table runs/lenet5-1/result.json --markdown
)";

struct Arguments {
  std::vector<std::string> files;
  bool markdown = false;
};

void print_table(const Arguments& arguments) {
  std::vector<report::RunRecord> records;
  for (const std::string& file : arguments.files) records.push_back(report::read_run(file));
  fmt::print("{}", report::table(records, arguments.markdown ? report::Style::markdown : report::Style::terminal));
}

}  // namespace

void add_table(CLI::App& program) {
  CLI::App* command = program.add_subcommand("table", description);
  const auto arguments = std::make_shared<Arguments>();
  command->add_option("results", arguments->files, "result.json of runs")->type_name("FILE...")->required();
  command->add_flag("--markdown", arguments->markdown, "as a Markdown table");
  command->callback([arguments] { print_table(*arguments); });
}

}  // namespace fovea::cli
