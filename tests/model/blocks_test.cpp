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
  settings.images =
      graph.add_value({"images" + suffix, Role::activation, settings.precision.values, {5, network.h, network.w, network.c}, no_value});
  const ValueId targets = graph.add_value({"targets" + suffix, Role::activation, DType::i32, {5}, no_value});
  built.logits = append_forward(graph, network, settings);
  built.loss = append_loss(graph, network, {built.logits, targets, 0.1f, settings.micro_batch, {}, settings.precision});
}

Built build(const Network& network, Phase phase, const graph::Precision& precision = {}) {
  Built built;
  built.graph.add_value({"control", Role::control, DType::byte, {sizeof(StepControl)}, no_value});
  ForwardSettings settings;
  settings.phase = phase;
  settings.precision = precision;
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
  const Built built = build(network, Phase::training, graph::fp64);
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

TEST(Blocks, EveryTrainedParameterOfEveryShippedNetworkGetsAGradient) {
  for (const std::string& name : list_networks()) {
    const Network network = load_network(name);
    Built built = build(network, Phase::training);
    graph::add_backward(built.graph, 0, 5);
    for (const Parameter& parameter : network.parameters)
      EXPECT_EQ(built.graph.find(parameter.name + ".grad") != no_value, parameter.trained == Trained::yes)
          << name << ": " << parameter.name;
  }
}

const std::string branches = R"(
input = [8, 8, 2]
layers = [
  { conv2d = 4, kernel = 3, padding = 1, batch_norm = { epsilon = 0.5 }, activation = "leaky_relu", slope = 0.125 },
  { shortcut = 4, from = "input" },
  { add = "conv1", activation = "silu" },
  { shortcut = 4 },
  { concat = ["input", "conv1", "shortcut2"] },
  { global_avg_pool = true },
  { batch_norm = true },
  { linear = 3 },
])";

TEST(Blocks, BranchesMeet) {
  const Built built = build(parse_network(branches, "net.toml"), Phase::training);
  const Graph& graph = built.graph;
  EXPECT_EQ(steps(graph),
            (std::vector<std::string>{"conv1 conv2d_forward", "conv1 batch_norm_forward", "conv1 activation_forward",
                                      "shortcut1 shortcut_forward", "add1 add", "add1 activation_forward", "concat1 concat_forward",
                                      "pool1 avg_pool_forward", "pool1 flatten", "batch_norm1 batch_norm_forward", "linear1 linear_forward",
                                      "linear1 bias_forward", "loss softmax_cross_entropy_forward", "score score"}));
  const auto inputs = [&](size_t node) {
    std::vector<std::string> names;
    for (const ValueId id : graph.nodes[node].in) names.push_back(graph.value(id).name);
    return names;
  };
  EXPECT_EQ(inputs(1), (std::vector<std::string>{"conv1.conv2d_forward", "conv1.batch_norm.weight", "conv1.batch_norm.bias"}));
  EXPECT_EQ(inputs(3), (std::vector<std::string>{"images0"}));
  EXPECT_EQ(inputs(4), (std::vector<std::string>{"shortcut1.shortcut_forward", "conv1.activation_forward"}));
  EXPECT_EQ(inputs(6), (std::vector<std::string>{"images0", "conv1.activation_forward", "add1.activation_forward"}));
  EXPECT_EQ(std::get<BatchNormForward>(graph.nodes[1].op).epsilon, 0.5f);
  EXPECT_EQ(std::get<ActivationForward>(graph.nodes[2].op).slope, 0.125f);
  EXPECT_EQ(std::get<ConcatForward>(graph.nodes[6].op).channels, (std::vector<int64_t>{2, 4, 4}));
  EXPECT_EQ(graph.value(graph.nodes[8].out[0]).shape, (Shape{5, 10}));
  EXPECT_EQ(std::get<BatchNormForward>(graph.nodes[9].op).rows, 5);
  EXPECT_EQ(graph.find("conv1.batch_norm.running_mean"), no_value);
}

TEST(Blocks, EvaluationNormalisesByTheRunningStatistics) {
  const Built built = build(parse_network(branches, "net.toml"), Phase::evaluation);
  EXPECT_EQ(name_of(built.graph.nodes[1].op), "batch_norm_inference");
  for (const std::string name : {"conv1.batch_norm.running_mean", "batch_norm1.running_variance"}) {
    ASSERT_NE(built.graph.find(name), no_value) << name;
    EXPECT_EQ(built.graph.value(built.graph.find(name)).role, Role::running) << name;
  }
}

TEST(Blocks, OneValueForEachChannelCannotBeNormalised) {
  Graph graph;
  ForwardSettings settings;
  settings.images = graph.add_value({"images", Role::activation, DType::f32, {1, 8, 8, 2}, no_value});
  const Network network = parse_network(branches, "net.toml");
  try {
    append_forward(graph, network, settings);
    FAIL();
  } catch (const Error& problem) {
    EXPECT_EQ(problem.code(), ExitCode::config);
    EXPECT_EQ(std::string(problem.what()),
              "error[E0213]: layer `batch_norm1` normalises over a batch, but gets 1 image of 1 value for each channel\n  --> "
              "net.toml:10\n  note: one value is its own mean: all of them would become 0\n  help: choose batch and micro_batches so that "
              "no part of a step, the last of an epoch included, is of a single image");
  }
  settings.phase = Phase::evaluation;
  EXPECT_NO_THROW(append_forward(graph, network, settings));
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
