// fovea plan: the steps that a training or evaluation step consists of.
#include "fovea/plan/dump.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "fovea/backend/registry.h"
#include "fovea/base/thread.h"
#include "fovea/cli/commands.h"
#include "fovea/cli/recipe_flags.h"
#include "fovea/plan/compile.h"
#include "fovea/train/recipe.h"
#include "fovea/train/step_graph.h"
#include "fovea/train/trainer.h"

namespace fovea::cli {
namespace {

constexpr const char* description =
    R"(Shows what a step runs: operator, backend, algorithm, bytes, FLOPs, and the memory it needs. Nothing is run but
what --autotune has measured.

Examples:
  fovea plan --model lenet5                                    a training step of lenet5 on the fastest backend
  fovea plan --model cifar_cnn --batch 32 --no-claims          nothing fused
  fovea plan recipes/lenet5_mnist.toml --phase evaluation
  fovea plan --model cifar_cnn --autotune across               each step on the faster of the backends in this memory, and by how much
  fovea plan --model resnet50 --outline                        the operators of each layer alone
)";

struct Arguments {
  std::string recipe, phase = "training";
  std::map<std::string, std::string> flags;
  bool outline = false;
};

void show(Arguments arguments) {
  arguments.flags.try_emplace("data", "none");  // a plan does not depend on the pixels
  train::Recipe recipe = train::read_recipe(arguments.recipe, arguments.flags);
  train::refuse_automatic_batch(recipe);
  const model::Network network = model::load_network(recipe.model);
  if (recipe.autotune == "across") expect_rivals();
  if (recipe.backend.empty()) recipe.backend = train::default_backend();
  const std::unique_ptr<Backend> backend = open_backend(recipe.backend);
  const train::Preprocessing preprocessing = {std::vector<float>(static_cast<size_t>(network.c), 0.5f),
                                              std::vector<float>(static_cast<size_t>(network.c), 0.5f)};
  const graph::Precision precision = require_precision(backend->name(), recipe.precision);
  const train::StepSettings settings = {.images = recipe.batch, .batch = recipe.batch, .precision = precision};
  graph::Graph graph = train::training_graph(network, recipe, preprocessing, settings);
  const std::vector<std::string> order = train::parameter_order(graph), averaged = train::averaged_parameters(graph);
  if (arguments.phase == "evaluation")
    graph = train::evaluation_graph(network, preprocessing,
                                    {.images = recipe.batch, .batch = recipe.batch, .precision = precision, .averaged = averaged});
  plan::Assignment assignment;
  assignment.backend = backend.get();
  assignment.limits.threads = recipe.threads > 0 ? static_cast<int>(recipe.threads) : usable_cores();
  assignment.claims = recipe.claims == train::Switch::on ? plan::Claims::on : plan::Claims::off;
  assignment.dependent_launches = recipe.dependent_launch == train::Switch::on ? DependentLaunches::on : DependentLaunches::off;
  train::Autotune autotune(recipe, *backend, std::nullopt);
  autotune.apply_to(assignment);
  const plan::Plan plan = plan::compile(std::move(graph), assignment, order);
  fmt::print("{} of {}, batch {}, backend {}, {}\n\n{}", arguments.phase, network.name, recipe.batch, backend->name(), recipe.precision,
             arguments.outline ? plan::outline(plan) : plan::dump(plan));
}

}  // namespace

void add_plan(CLI::App& program) {
  CLI::App* command = program.add_subcommand("plan", description);
  const auto arguments = std::make_shared<Arguments>();
  command->add_option("recipe", arguments->recipe, "a recipe file, or a name in recipes/")->type_name("RECIPE");
  command->add_option("--phase", arguments->phase, "training or evaluation")
      ->check(CLI::IsMember({"training", "evaluation"}))
      ->capture_default_str();
  command->add_flag("--outline", arguments->outline, "only the operators, a line per layer; the same on every machine");
  add_recipe_flags(*command, arguments->flags);
  command->callback([arguments] { show(*arguments); });
}

}  // namespace fovea::cli
