// fovea train: a recipe, flags, or both.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "fovea/base/error.h"
#include "fovea/base/stop_signal.h"
#include "fovea/cli/commands.h"
#include "fovea/cli/mlperf_log.h"
#include "fovea/cli/progress.h"
#include "fovea/cli/recipe_flags.h"
#include "fovea/train/run.h"

namespace fovea::cli {
namespace {

constexpr const char* description = R"(Trains a network.

Examples:
  fovea train recipes/lenet5_digits.toml                                 as a recipe says
  fovea train lenet5_digits                                              the same, found by its name wherever fovea is installed
  fovea train recipes/lenet5_mnist.toml --data mnist:DIR --epochs 3      the same, but with flags that win over the recipe
  fovea train --data cifar10:DIR --model cifar_cnn --optimizer adam --learning-rate 0.001 --batch 32 --epochs 15 --valid test
  fovea train --data digits --model logistic --positive 1,3,5,7,9        a yes-or-no question: is the digit odd?
  fovea train lenet5_digits --backend openmp --autotune across           each step on the faster of the backends in this memory
  fovea train --resume runs/lenet5-1                                     goes on with a run that was stopped, to the same bits
)";

struct Arguments {
  std::string recipe, resume, log;
  std::map<std::string, std::string> flags;
  bool overwrite = false, quiet = false, json = false;
};

std::optional<train::FinishedRun> run(const Arguments& arguments, train::Callbacks& progress) {
  if (arguments.resume.empty()) {
    const train::Recipe recipe = train::read_recipe(arguments.recipe, arguments.flags);
    return train::start_run(recipe, arguments.overwrite ? train::Existing::overwrite : train::Existing::refuse, progress);
  }
  if (!arguments.recipe.empty() || !arguments.flags.empty() || arguments.overwrite)
    throw Error(ErrorId::usage, "--resume goes on with a run as it is: it takes no recipe and none of its settings")
        .help("leave them out, or start another run with `fovea train " + arguments.resume +
              "/config.toml --out ANOTHER` and the settings");
  return train::resume_run(arguments.resume, progress);
}

void train_with_log(const Arguments& arguments) {
  MlperfLog log;
  if (const std::optional<train::FinishedRun> run = cli::run(arguments, log)) log.end(run->result.test.accuracy, run->result.kept_epoch);
}

void train(const Arguments& arguments) {
  take_stop_signals();
  if (!arguments.log.empty()) return train_with_log(arguments);
  const std::unique_ptr<train::Callbacks> progress = make_progress(arguments.quiet  ? Output::quiet
                                                                   : arguments.json ? Output::json
                                                                                    : Output::people);
  const std::optional<train::FinishedRun> run = cli::run(arguments, *progress);
  if (!run) {
    if (!arguments.quiet && !arguments.json) fmt::print("the run in {} is finished: nothing is left to do\n", arguments.resume);
    if (arguments.json) fmt::print("{}\n", nlohmann::ordered_json{{"event", "finished"}, {"out", arguments.resume}}.dump());
    return;
  }
  const train::TrainResult& result = run->result;
  if (arguments.json) {
    nlohmann::ordered_json line = nlohmann::ordered_json::parse(train::result_json(run->recipe, result));
    line["event"] = "result";
    line["out"] = run->folder.string();
    fmt::print("{}\n", line.dump());
  } else if (!arguments.quiet) {
    if (result.stopped == train::Stopped::early)
      fmt::print("stopped early: epoch {} is the best of {}\n", result.best_epoch, result.history.size());
    fmt::print("test accuracy {:.2f} % (weights of epoch {}), {:.1f} s of training, {:.0f} images/s\nsaved in {}\n",
               100 * result.test.accuracy, result.kept_epoch, result.train_seconds, result.images_per_second, run->folder.string());
  }
}

}  // namespace

void add_train(CLI::App& program) {
  CLI::App* command = program.add_subcommand("train", description);
  const auto arguments = std::make_shared<Arguments>();
  command->add_option("recipe", arguments->recipe, "a recipe file, or a name in recipes/")->type_name("RECIPE");
  command->add_option("--resume", arguments->resume, "go on with the run in this folder; takes everything from there")->type_name("DIR");
  command->add_flag("--overwrite", arguments->overwrite, "replace the run that the folder --out holds");
  command->add_flag("--quiet", arguments->quiet, "print nothing but errors");
  command->add_flag("--json", arguments->json, "print one JSON object per epoch, and one with the result");
  command->add_option("--log", arguments->log, "print lines for other programs instead: mlperf")
      ->type_name("KIND")
      ->check(CLI::IsMember({"mlperf"}))
      ->excludes("--json")
      ->excludes("--quiet");
  add_recipe_flags(*command, arguments->flags);
  command->callback([arguments] { train(*arguments); });
}

}  // namespace fovea::cli
