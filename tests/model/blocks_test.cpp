// The nodes that a network becomes.
#include "fovea/model/blocks.h"

#include <gtest/gtest.h>

#include <set>

#include "fovea/base/error.h"
#include "fovea/graph/backward.h"

namespace fovea::model {
namespace {

using graph::Graph;
using graph::no_value;
using graph::Role;
using graph::ValueId;

const std::string text = R"(
input = [8, 8, 2]
layers = [
  { conv2d = 4, kernel = 3, activation = "relu" },
  { max_pool = 2 },
  { dropout = 0.5 },
  { flatten = true },
  { linear = 6, bias = false, activation = "tanh" },
  { dropout = 0.25 },
  { linear = 3 },
])";

struct Built {
  Graph graph;
  ValueId logits = no_value, loss = no_value;
};

void append(Built& built, const Network& network, ForwardSettings settings) {
  Graph& graph = built.graph;
  const std::string suffix = std::to_string(settings.micro_batch);
  settings.images = graph.add_value({"images" + suffix, Role::activation, settings.dtype, {5, network.h, network.w, network.c}, no_value});
  const ValueId targets = graph.add_value({"targets" + suffix, Role::activation, DType::i32, {5}, no_value});
  built.logits = append_forward(graph, network, settings);
  built.loss = append_loss(graph, network, {built.logits, targets, 0.1f, settings.micro_batch});
}

Built build(const Network& network, Phase phase, DType dtype = DType::f32) {
  Built built;
  built.graph.add_value({"control", Role::control, DType::byte, {sizeof(StepControl)}, no_value});
  ForwardSettings settings;
  settings.phase = phase;
  settings.dtype = dtype;
  append(built, network, settings);
  return built;
}

std::vector<std::string> steps(const Graph& graph) {
  std::vector<std::string> steps;
  for (const graph::Node& node : graph.nodes) steps.push_back(node.name + " " + std::string(name_of(node.op)));
  return steps;
}

TEST(Blocks, TrainingIsCanonicalAndUnfused) {
  const Built built = build(parse_network(text, "net.toml"), Phase::training);
  EXPECT_EQ(steps(built.graph),
            (std::vector<std::string>{"conv1 conv2d_forward", "conv1 bias_forward", "conv1 activation_forward", "pool1 max_pool_forward",
                                      "dropout1 dropout_forward", "flatten1 flatten", "linear1 linear_forward",
                                      "linear1 activation_forward", "dropout2 dropout_forward", "linear2 linear_forward",
                                      "linear2 bias_forward", "loss softmax_cross_entropy_forward", "score score"}));
  EXPECT_EQ(built.graph.value(built.logits).shape, (Shape{5, 3}));
  EXPECT_EQ(built.graph.value(built.loss).shape, (Shape{5}));
  EXPECT_EQ(std::get<DropoutForward>(built.graph.nodes[4].op).layer, 0u);
  EXPECT_EQ(std::get<DropoutForward>(built.graph.nodes[8].op).layer, 1u);
  EXPECT_EQ(std::get<DropoutForward>(built.graph.nodes[8].op).rate, 0.25f);
  EXPECT_EQ(std::get<SoftmaxCrossEntropyForward>(built.graph.nodes[11].op).smoothing, 0.1f);
}

TEST(Blocks, EvaluationHasNoDropout) {
  const Built built = build(parse_network(text, "net.toml"), Phase::evaluation);
  for (const graph::Node& node : built.graph.nodes) EXPECT_FALSE(std::holds_alternative<DropoutForward>(node.op)) << node.name;
  EXPECT_EQ(built.graph.nodes.size(), 11u);
}

TEST(Blocks, ParametersHaveTheirNamesAndShapes) {
  const Network network = parse_network(text, "net.toml");
  const Built built = build(network, Phase::training, DType::f64);
  for (const Parameter& parameter : network.parameters) {
    const ValueId id = built.graph.find(parameter.name);
    ASSERT_NE(id, no_value) << parameter.name;
    EXPECT_EQ(built.graph.value(id).role, Role::parameter);
    EXPECT_EQ(built.graph.value(id).shape, parameter.shape);
    EXPECT_EQ(built.graph.value(id).dtype, DType::f64);
  }
}

TEST(Blocks, MicroBatchesShareParametersAndNothingElse) {
  const Network network = parse_network(text, "net.toml");
  Built built = build(network, Phase::training);
  ForwardSettings settings;
  settings.micro_batch = 1;
  settings.first_sample = 5;
  append(built, network, settings);
  std::set<std::string> names;
  size_t parameters = 0, metrics = 0;
  for (const graph::Value& value : built.graph.values) {
    EXPECT_TRUE(names.insert(value.name).second) << value.name << " is there twice";
    parameters += value.role == Role::parameter ? 1 : 0;
    metrics += value.role == Role::metrics ? 1 : 0;
  }
  EXPECT_EQ(parameters, network.parameters.size());
  EXPECT_EQ(metrics, 1u);
  ASSERT_EQ(built.graph.nodes.size(), 26u);
  EXPECT_EQ(built.graph.nodes[13].micro_batch, 1);
  EXPECT_EQ(std::get<DropoutForward>(built.graph.nodes[17].op).first_sample, 5);
}

TEST(Blocks, EveryParameterOfEveryShippedNetworkGetsAGradient) {
  for (const std::string& name : list_networks()) {
    const Network network = load_network(name);
    Built built = build(network, Phase::training);
    graph::add_backward(built.graph, 0, 5);
    for (const Parameter& parameter : network.parameters)
      EXPECT_NE(built.graph.find(parameter.name + ".grad"), no_value) << name << ": " << parameter.name;
  }
}

TEST(Blocks, OneOutputHasTheBinaryLoss) {
  const Built built = build(load_network("logistic"), Phase::training);
  const auto& loss = std::get<BinaryCrossEntropyForward>(built.graph.nodes[built.graph.nodes.size() - 2].op);
  EXPECT_EQ(loss.n, 5);
  EXPECT_EQ(loss.smoothing, 0.1f);
}

TEST(Blocks, RefusesOtherImages) {
  Graph graph;
  ForwardSettings settings;
  settings.images = graph.add_value({"images", Role::activation, DType::f32, {5, 8, 8, 1}, no_value});
  EXPECT_THROW(append_forward(graph, parse_network(text, "net.toml"), settings), Error);
}

TEST(Blocks, DropoutNeedsTheControl) {
  Graph graph;
  ForwardSettings settings;
  settings.images = graph.add_value({"images", Role::activation, DType::f32, {5, 8, 8, 2}, no_value});
  EXPECT_THROW(append_forward(graph, parse_network(text, "net.toml"), settings), Error);
}

}  // namespace
}  // namespace fovea::model
