// fovea models: the networks that there are, or one of them layer by layer.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "fovea/cli/commands.h"
#include "fovea/model/network.h"
#include "fovea/model/summary.h"

namespace fovea::cli {
namespace {

constexpr const char* description = R"(Lists the networks, or shows one layer by layer.

Examples:
  fovea models              all that are shipped
  fovea models lenet5       layers, output shapes, parameters, multiply-accumulates
  fovea models my_net.toml  a network of your own
)";

void list() {
  constexpr const char* row = "{:<16} {:<14} {:>10} {:>16} {:>16} {:>16}\n";
  fmt::print(row, "name", "input", "outputs", "parameters", "trained", "MACs per image");
  for (const std::string& name : model::list_networks()) {
    const model::Network network = model::load_network(name);
    fmt::print(row, name, fmt::format("{}x{}x{}", network.h, network.w, network.c), network.outputs, network.parameter_elements(),
               network.trained_elements(), model::macs_per_image(network));
  }
}

}  // namespace

void add_models(CLI::App& program) {
  CLI::App* command = program.add_subcommand("models", description);
  const auto name = std::make_shared<std::string>();
  command->add_option("name", *name, "a name in models/, or a file")->type_name("NAME|FILE");
  command->callback([name] {
    if (name->empty()) {
      list();
    } else {
      fmt::print("{}", model::summary(model::load_network(*name)));
    }
  });
}

}  // namespace fovea::cli
