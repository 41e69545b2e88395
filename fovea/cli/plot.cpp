// fovea plot: finished runs and measured speeds as a picture.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "fovea/base/error.h"
#include "fovea/base/file.h"
#include "fovea/cli/commands.h"
#include "fovea/report/series.h"

namespace fovea::cli {
namespace {

constexpr const char* description = R"(Draws finished runs: accuracy after each epoch, and training speeds.

Examples:
  fovea plot runs/demo-* --out demo.svg
  fovea plot runs/lenet5-1 runs/cifar_cnn-1 results/speed-cpu.jsonl --out picture.svg     speeds as these records have them
)";

struct Arguments {
  std::vector<std::string> inputs;
  std::string out;
};

void draw(const Arguments& arguments) {
  std::vector<report::WholeRun> runs;
  std::vector<report::Measurement> speeds;
  for (const std::string& input : arguments.inputs) {
    if (!input.ends_with(".jsonl")) {
      runs.push_back(report::read_whole_run(input));
      continue;
    }
    for (report::Measurement& speed : report::read_speeds(input)) speeds.push_back(std::move(speed));
  }
  if (runs.empty() && speeds.empty())
    throw Error(ErrorId::nothing_to_draw, "these records hold no speed to draw")
        .help("give the folders of runs, or records whose unit is images/s");
  const std::vector<report::BarGroup> bars = speeds.empty() ? report::bars_of(runs) : report::bars_of(speeds);
  replace_file(arguments.out, report::plot(report::curves_of(runs), bars, report::origin_of(runs, speeds)));
}

}  // namespace

void add_plot(CLI::App& program) {
  CLI::App* command = program.add_subcommand("plot", description);
  const auto arguments = std::make_shared<Arguments>();
  command->add_option("inputs", arguments->inputs, "folders of runs, or their result.json; records of speeds end in .jsonl")
      ->type_name("RUN|FILE...")
      ->required();
  command->add_option("--out", arguments->out, "the picture, as SVG")->type_name("FILE")->required();
  command->callback([arguments] { draw(*arguments); });
}

}  // namespace fovea::cli
