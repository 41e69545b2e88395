#include "fovea/study/network_cases.h"

#include <fmt/format.h>

#include <map>

#include "fovea/graph/graph.h"
#include "fovea/study/problem.h"
#include "fovea/train/step_graph.h"

namespace fovea::study {
namespace {

std::string text_of(const std::vector<graph::Type>& types) {
  std::string text;
  for (const graph::Type& type : types) text += fmt::format(" {} {}", name_of(type.dtype), type.shape.text());
  return text;
}

// What an operator's speed depends on.
std::string key_of(const Op& op) {
  std::string key = fmt::format("{} {}{}{} {}", name_of(op), problem_of(op), text_of(graph::inputs_of(op)), text_of(graph::outputs_of(op)),
                                adds_into_output(op));
  std::visit(
      [&](const auto& o) {
        if constexpr (requires { o.activation; }) key += name_of(o.activation);
        if constexpr (requires { o.part; }) key += std::to_string(o.part);
      },
      op);
  return key;
}

}  // namespace

std::vector<NetworkCase> network_cases(const model::Network& network, int64_t batch) {
  train::Recipe recipe;
  recipe.model = network.name;
  recipe.batch = batch;
  recipe.optimizer = "adam";
  const std::vector<float> half(static_cast<size_t>(network.c), 0.5f);
  const graph::Graph graph = train::training_graph(network, recipe, {half, half}, {.images = batch, .batch = batch});
  std::vector<NetworkCase> cases;
  std::map<std::string, size_t> known;
  for (const graph::Node& node : graph.nodes) {
    if (std::holds_alternative<Flatten>(node.op)) continue;
    const auto [at, is_new] = known.try_emplace(key_of(node.op), cases.size());
    if (!is_new) {
      ++cases[at->second].layers;
      continue;
    }
    OpCase added;
    added.name = fmt::format("{}-b{}/{}/{}", network.name, batch, node.name, name_of(node.op));
    added.op = node.op;
    added.control = {.seed = 1, .images = static_cast<uint64_t>(batch)};  // its learning rate is 0: weights stay as they are
    cases.push_back({std::move(added)});
  }
  return cases;
}

int64_t usual_batch(const std::string& network) {
  const std::map<std::string, int64_t> batches = {{"lenet5", 64},    {"binary_cnn", 64}, {"softmax", 64},   {"logistic", 64}, {"mlp", 64},
                                                  {"resnet20", 128}, {"resnet32", 128},  {"resnet56", 128}, {"cats_dogs", 16}};
  const auto found = batches.find(network);
  return found == batches.end() ? 32 : found->second;
}

}  // namespace fovea::study
