// Which gradient nodes a forward graph gets, and which of them add.
#include "fovea/graph/backward.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace fovea::graph {
namespace {

Into into_of(const Op& op) {
  return std::visit(
      [](const auto& o) {
        if constexpr (requires { o.into; }) return o.into;
        return Into::overwrite;
      },
      op);
}

const Node& writer_of(const Graph& graph, const std::string& value, size_t which = 0) {
  for (const Node& node : graph.nodes)
    if (std::count(node.out.begin(), node.out.end(), graph.find(value)) > 0 && which-- == 0) return node;
  throw std::runtime_error("nobody writes " + value);
}

std::vector<std::string> names_of(const Graph& graph, const std::vector<ValueId>& ids) {
  std::vector<std::string> names;
  for (const ValueId id : ids) names.push_back(graph.value(id).name);
  return names;
}

// x (2, 4) -> `stem` -> `head` -> loss, where asked for with a second pair of head and loss behind the same stem.
class Network {
 public:
  Network() {
    x = graph.add_value({.name = "x", .shape = {2, 4}});
    t = graph.add_value({.name = "t", .dtype = DType::i32, .shape = {2}});
    w = {parameter("stem.weight", {5, 4}), parameter("head1.weight", {3, 5}), parameter("head2.weight", {3, 5})};
  }
  ValueId stem(int micro_batch) { return graph.add(LinearForward{{2, 4, 5}, {}}, "stem", {x, w[0]}, micro_batch); }
  void head(size_t i, ValueId from, int micro_batch) {
    const ValueId logits = graph.add(LinearForward{{2, 5, 3}, {}}, "head" + std::to_string(i), {from, w[i]}, micro_batch);
    graph.add(SoftmaxCrossEntropyForward{2, 3, 0, {}}, "loss" + std::to_string(i), {logits, t}, micro_batch);
  }

  Graph graph;
  ValueId x, t;
  std::vector<ValueId> w;

 private:
  ValueId parameter(const std::string& name, Shape shape) {
    return graph.add_value({.name = name, .role = Role::parameter, .shape = shape});
  }
};

TEST(Backward, AddsWhereAValueHasTwoConsumers) {
  Network network;
  const ValueId stem = network.stem(0);
  network.head(1, stem, 0);
  network.head(2, stem, 0);
  add_backward(network.graph, 0, 2);
  const Node &first = writer_of(network.graph, "stem.linear_forward.grad"),
             &second = writer_of(network.graph, "stem.linear_forward.grad", 1);
  EXPECT_EQ(first.name, "head2");  // reverse order
  EXPECT_EQ(into_of(first.op), Into::overwrite);
  EXPECT_EQ(second.name, "head1");
  EXPECT_EQ(into_of(second.op), Into::add);
  EXPECT_EQ(network.graph.nodes.back().name, "stem");  // only then is the gradient whole
}

TEST(Backward, LaterMicroBatchesAddToTheGradientsOfParametersAlone) {
  Network network;
  for (const int part : {0, 1}) {
    const size_t first = network.graph.nodes.size();
    network.head(1, network.stem(part), part);
    add_backward(network.graph, first, 4);
  }
  for (const std::string parameter : {"stem.weight.grad", "head1.weight.grad"}) {
    EXPECT_EQ(network.graph.value(network.graph.find(parameter)).role, Role::gradient);
    EXPECT_EQ(into_of(writer_of(network.graph, parameter).op), Into::overwrite) << parameter;
    const Node& second = writer_of(network.graph, parameter, 1);
    EXPECT_EQ(into_of(second.op), Into::add) << parameter;
    EXPECT_EQ(second.micro_batch, 1) << parameter;
  }
  EXPECT_EQ(into_of(writer_of(network.graph, "stem.linear_forward@1.grad").op), Into::overwrite);
  for (const Node& node : network.graph.nodes)
    if (const auto* loss = std::get_if<SoftmaxCrossEntropyBackward>(&node.op)) {
      EXPECT_EQ(loss->divisor, 4);
    }
}

TEST(Backward, ComputesNothingForWhatNoParameterStandsBehind) {
  Network network;
  const ValueId scaled = network.graph.add(ActivationForward{Activation::tanh, 8, {}}, "squash", {network.x});
  network.x = scaled;
  network.head(1, network.stem(0), 0);
  add_backward(network.graph, 0, 2);
  EXPECT_EQ(network.graph.find("x.grad"), no_value);
  EXPECT_EQ(network.graph.find("squash.activation_forward.grad"), no_value);
  for (const Node& node : network.graph.nodes) EXPECT_FALSE(std::holds_alternative<ActivationBackward>(node.op));
  EXPECT_NE(network.graph.find("stem.weight.grad"), no_value);
}

TEST(Backward, ABiasPassesItsGradientOnWithoutACopy) {
  Network network;
  const ValueId b = network.graph.add_value({.name = "stem.bias", .role = Role::parameter, .shape = {5}});
  network.head(1, network.graph.add(BiasForward{2, 5, {}}, "stem", {network.stem(0), b}), 0);
  add_backward(network.graph, 0, 2);
  EXPECT_EQ(network.graph.find("stem.linear_forward.grad"), no_value);
  EXPECT_EQ(writer_of(network.graph, "stem.weight.grad").in[1], network.graph.find("stem.bias_forward.grad"));
  EXPECT_EQ(names_of(network.graph, completion_order(network.graph)),
            (std::vector<std::string>{"head1.weight", "stem.bias", "stem.weight"}));
}

// A gradient is complete at its last write: one that a later micro-batch adds to comes behind one that it does not.
TEST(CompletionOrder, FollowsTheLastWrite) {
  Network network;
  network.head(1, network.stem(0), 0);
  add_backward(network.graph, 0, 2);
  EXPECT_EQ(names_of(network.graph, completion_order(network.graph)), (std::vector<std::string>{"head1.weight", "stem.weight"}));
  const size_t first = network.graph.nodes.size();
  network.head(
      1, network.graph.add(LinearForward{{2, 4, 5}, {}}, "frozen", {network.x, network.graph.add_value({.name = "c", .shape = {5, 4}})}, 1),
      1);
  add_backward(network.graph, first, 2);
  EXPECT_EQ(names_of(network.graph, completion_order(network.graph)), (std::vector<std::string>{"stem.weight", "head1.weight"}));
}

}  // namespace
}  // namespace fovea::graph
