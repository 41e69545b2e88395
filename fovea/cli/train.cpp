// fovea train: a recipe, flags, or both.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "fovea/cli/commands.h"
#include "fovea/cli/progress.h"
#include "fovea/cli/recipe_flags.h"
#include "fovea/train/run_folder.h"

namespace fovea::cli {
namespace {

constexpr const char* description = R"(Trains a network.

Examples:
  fovea train recipes/lenet5_digits.toml                                 as a recipe says
  fovea train lenet5_digits                                              the same, found by its name wherever fovea is installed
  fovea train recipes/lenet5_mnist.toml --data mnist:DIR --epochs 3      the same, but with flags that win over the recipe
  fovea train --data cifar10:DIR --model cifar_cnn --optimizer adam --learning-rate 0.001 --batch 32 --epochs 15 --valid test
  fovea train --data digits --model logistic --positive 1,3,5,7,9        a yes-or-no question: is the digit odd?
)";

struct Arguments {
  std::string recipe;
  std::map<std::string, std::string> flags;
  bool overwrite = false, quiet = false, json = false;
};

void train(const Arguments& arguments) {
  const train::Recipe recipe = train::read_recipe(arguments.recipe, arguments.flags);
  const std::unique_ptr<train::Callbacks> progress = make_progress(arguments.quiet  ? Output::quiet
                                                                   : arguments.json ? Output::json
                                                                                    : Output::people);
  train::Trainer trainer(recipe, *progress);
  const std::filesystem::path folder =
      train::make_run_folder(recipe, arguments.overwrite ? train::Existing::overwrite : train::Existing::refuse);
  train::write_recipe(folder, trainer.recipe());
  const train::TrainResult result = trainer.train();
  train::write_run(folder, trainer.recipe(), result);
  if (arguments.json) {
    nlohmann::ordered_json line = nlohmann::ordered_json::parse(train::result_json(trainer.recipe(), result));
    line["event"] = "result";
    line["out"] = folder.string();
    fmt::print("{}\n", line.dump());
  } else if (!arguments.quiet) {
    if (result.stopped == train::Stopped::early)
      fmt::print("stopped early: epoch {} is the best of {}\n", result.best_epoch, result.history.size());
    fmt::print("test accuracy {:.2f} % (weights of epoch {}), {:.1f} s of training, {:.0f} images/s\nsaved in {}\n",
               100 * result.test.accuracy, result.kept_epoch, result.train_seconds, result.images_per_second, folder.string());
  }
}

}  // namespace

void add_train(CLI::App& program) {
  CLI::App* command = program.add_subcommand("train", description);
  const auto arguments = std::make_shared<Arguments>();
  command->add_option("recipe", arguments->recipe, "a recipe file, or a name in recipes/")->type_name("RECIPE");
  command->add_flag("--overwrite", arguments->overwrite, "replace the run that the folder --out holds");
  command->add_flag("--quiet", arguments->quiet, "print nothing but errors");
  command->add_flag("--json", arguments->json, "print one JSON object per epoch, and one with the result");
  add_recipe_flags(*command, arguments->flags);
  command->callback([arguments] { train(*arguments); });
}

}  // namespace fovea::cli
