// fovea diff: the same training step on two backends, part by part.
#include "fovea/study/diff.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "fovea/backend/registry.h"
#include "fovea/base/error.h"
#include "fovea/base/thread.h"
#include "fovea/cli/commands.h"
#include "fovea/cli/recipe_flags.h"

namespace fovea::cli {
namespace {

using study::Diff;
using study::PartDiff;

constexpr const char* description =
    R"(Runs the same training step on two backends, from the same weights on the same images, and names the first part of it whose results
differ by more than the tolerance of its operators. Each part is given what the first backend has computed so far, so that a difference
is its own work. The exit code is 8 where the two differ.

Examples:
  fovea diff lenet5 reference eigen
  fovea diff cifar_cnn reference eigen --all --no-claims       every part, nothing fused
  fovea diff cifar_cnn eigen cuda --data cifar10:DIR --batch 64 --steps 3 --optimizer adam
)";

struct Arguments {
  std::string model, a, b;
  int64_t steps = 1;
  bool all = false;
  std::map<std::string, std::string> flags;
};

train::Recipe recipe_of(const Arguments& arguments) {
  std::map<std::string, std::string> flags = arguments.flags;
  for (const char* given : {"model", "backend"})
    if (flags.contains(given))
      throw Error(ExitCode::usage, fmt::format("`fovea diff` takes MODEL and both backends without --{}", given))
          .help("for example: fovea diff lenet5 reference eigen");
  flags["model"] = arguments.model;
  flags.try_emplace("data", "synthetic");
  flags.try_emplace("batch", "4");
  train::Recipe recipe = train::read_recipe({}, flags);
  train::refuse_automatic_batch(recipe);
  if (recipe.threads == 0) recipe.threads = usable_threads();
  return recipe;
}

std::string data_of(const train::Recipe& recipe, const model::Network& network, int64_t steps) {
  if (recipe.data != "synthetic") return recipe.data;
  return fmt::format("synthetic:{}x{}x{}:{}:{}:1", network.h, network.w, network.c, std::max<int64_t>(network.outputs, 2),
                     recipe.batch * steps);
}

void print_all(const Diff& diff, int64_t steps) {
  for (size_t i = 0; i < diff.parts.size(); ++i) {
    const PartDiff& part = diff.parts[i];
    const std::string step = steps > 1 ? fmt::format("step {} ", part.training_step) : "";
    fmt::print("{}{:<12} {}\n", step, part.layer, part.what());
    for (const study::ValueDiff& value : part.values) fmt::print("  {:<32} {}\n", value.value, value.text());
  }
  fmt::print("\n");
}

void compare(const Arguments& arguments) {
  const train::Recipe recipe = recipe_of(arguments);
  const model::Network as_written = model::load_network(recipe.model);
  const data::Dataset dataset = data::load(data_of(recipe, as_written, arguments.steps));
  const data::Images& images = dataset.train;
  const model::Network network =
      model::fitted(as_written, {dataset.spec, images.h, images.w, images.c, static_cast<int64_t>(dataset.classes.size())});
  if (images.count < recipe.batch)
    throw Error(ErrorId::recipe_and_data, fmt::format("a batch of {} is more than the {} training images", recipe.batch, images.count))
        .help("give a smaller --batch");
  for (const std::string& backend : {arguments.a, arguments.b}) require_precision(backend, recipe.precision);
  const std::unique_ptr<Backend> a = open_backend(arguments.a), b = open_backend(arguments.b);
  const Diff diff = study::diff(*a, *b, {network, recipe, images, arguments.steps});

  if (arguments.all) print_all(diff, arguments.steps);
  const auto count = [&](auto&& is) { return std::count_if(diff.parts.begin(), diff.parts.end(), is); };
  const auto same = count([](const PartDiff&part) { return part.same_bits(); }),
             within = count([](const PartDiff&part) { return part.within(); });
  fmt::print("{} on {}, {}, batch {}, {} training step{}: {} and {}\n", network.name, dataset.title, recipe.precision, recipe.batch,
             arguments.steps, arguments.steps == 1 ? "" : "s", arguments.a, arguments.b);
  fmt::print("{} parts: {} with the same bits, {} within tolerance, {} beyond it\n", diff.parts.size(), same, within - same,
             std::ssize(diff.parts) - within);
  if (!diff.not_compared.empty())
    fmt::print("not compared, for one of the two keeps them in a layout of its own: {}\n", fmt::join(diff.not_compared, ", "));
  std::fflush(stdout);
  study::require_within(diff);
}

}  // namespace

void add_diff(CLI::App& program) {
  CLI::App* command = program.add_subcommand("diff", description);
  const auto arguments = std::make_shared<Arguments>();
  command->add_option("model", arguments->model, "network, as in `fovea train`")->type_name("MODEL")->required();
  command->add_option("a", arguments->a, "the backend that is taken to be right")->type_name("A")->required();
  command->add_option("b", arguments->b, "the backend that is compared to it")->type_name("B")->required();
  command->add_option("--steps", arguments->steps, "training steps")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  command->add_flag("--all", arguments->all, "print every part with the largest difference of each value");
  add_recipe_flags(*command, arguments->flags);
  command->callback([arguments] { compare(*arguments); });
}

}  // namespace fovea::cli
