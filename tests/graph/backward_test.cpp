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

// x -> stem -> z, and what two branches make of z.
class Branches {
 public:
  ValueId squash(ValueId from, const std::string& name) {
    return network.graph.add(ActivationForward{Activation::tanh, 10, {}}, name, {from});
  }
  ValueId join(ValueId a, ValueId b) { return network.graph.add(Add{10, {}}, "join", {a, b}); }
  void finish(ValueId y) {
    network.head(1, y, 0);
    add_backward(network.graph, 0, 2);
  }
  ValueId gradient_read_by(const std::string& layer) const {  // dy of its gradient node
    for (const Node& node : network.graph.nodes)
      if (node.name == layer && std::holds_alternative<ActivationBackward>(node.op)) return network.graph.storage_of(node.in[1]);
    throw std::runtime_error("no gradient of " + layer);
  }
  int adds() const {
    return static_cast<int>(std::count_if(network.graph.nodes.begin(), network.graph.nodes.end(),
                                          [](const Node& node) { return std::holds_alternative<Add>(node.op); }));
  }

  Network network;
};

// y = z + q(p(z)): the shortcut's gradient is dy itself; q has read it when p adds the branch's part into it.
TEST(Backward, AResidualNeedsNoCopy) {
  Branches branches;
  const ValueId z = branches.network.stem(0);
  branches.finish(branches.join(branches.squash(branches.squash(z, "p"), "q"), z));
  const Graph& graph = branches.network.graph;
  EXPECT_EQ(branches.adds(), 1);  // the forward one
  for (const Node& node : graph.nodes)
    if (node.name == "p" && std::holds_alternative<ActivationBackward>(node.op)) {
      EXPECT_EQ(into_of(node.op), Into::add);
      EXPECT_EQ(graph.storage_of(node.out[0]), branches.gradient_read_by("q"));
    }
}

// y = a + b(a): b reads the gradient of the sum, so nothing may be added into it before, nor by b itself.
TEST(Backward, NoGradientChangesBeforeItWasRead) {
  Branches branches;
  const ValueId a = branches.squash(branches.network.stem(0), "a");
  const ValueId b = branches.squash(a, "b");
  branches.finish(branches.join(a, b));
  const ValueId shared = branches.gradient_read_by("b");
  for (const Node& node : branches.network.graph.nodes)
    if (into_of(node.op) == Into::add) {
      for (const ValueId id : node.out) EXPECT_NE(branches.network.graph.storage_of(id), shared) << node.name;
    }
  EXPECT_EQ(branches.adds(), 2);  // the forward one, and the sum of the two parts
  EXPECT_NE(branches.gradient_read_by("a"), shared);
}

TEST(Backward, AValueAddedToItselfGetsTwiceTheGradient) {
  Branches branches;
  const ValueId z = branches.network.stem(0);
  branches.finish(branches.join(z, z));
  const Graph& graph = branches.network.graph;
  EXPECT_EQ(branches.adds(), 2);  // the forward one, and dy + dy
  const Node& sum =
      *std::find_if(graph.nodes.rbegin(), graph.nodes.rend(), [](const Node& node) { return std::holds_alternative<Add>(node.op); });
  EXPECT_EQ(sum.in[0], sum.in[1]);
  EXPECT_EQ(writer_of(graph, "stem.weight.grad").in[1], sum.out[0]);
}

TEST(Backward, AFrozenParameterGetsNoGradientAndStopsIt) {
  Network network;
  network.graph.values[static_cast<size_t>(network.w[0])].frozen = true;
  network.head(1, network.stem(0), 0);
  add_backward(network.graph, 0, 2);
  EXPECT_EQ(network.graph.find("stem.weight.grad"), no_value);
  EXPECT_EQ(network.graph.find("stem.linear_forward.grad"), no_value);
  EXPECT_NE(network.graph.find("head1.weight.grad"), no_value);
}

TEST(Backward, BatchNormWritesThreeGradientsAtOnceAndAddsOnlyToThoseOfParameters) {
  Network network;
  const ValueId scale = network.graph.add_value({.name = "norm.weight", .role = Role::parameter, .shape = {5}});
  const ValueId shift = network.graph.add_value({.name = "norm.bias", .role = Role::parameter, .shape = {5}});
  for (const int part : {0, 1}) {
    const size_t first = network.graph.nodes.size();
    network.head(1, network.graph.add(BatchNormForward{2, 5, 1e-5f, {}}, "norm", {network.stem(part), scale, shift}, part), part);
    add_backward(network.graph, first, 4);
    const Node& node = writer_of(network.graph, "norm.weight.grad", static_cast<size_t>(part));
    const BatchNormBackward& op = std::get<BatchNormBackward>(node.op);
    EXPECT_EQ(op.into, Into::overwrite);
    EXPECT_EQ(op.into_scale, part == 0 ? Into::overwrite : Into::add);
    EXPECT_EQ(op.into_shift, op.into_scale);
    EXPECT_EQ(names_of(network.graph, {node.out[1], node.out[2]}), (std::vector<std::string>{"norm.weight.grad", "norm.bias.grad"}));
  }
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

// The ends of two branches that are summed up: a convolution and a norm each. Which nodes have the norms' gradients.
std::vector<size_t> places_of_norm_gradients(const Graph& graph) {
  std::vector<size_t> places;
  for (size_t i = 0; i < graph.nodes.size(); ++i)
    if (std::holds_alternative<BatchNormBackward>(graph.nodes[i].op)) places.push_back(i);
  return places;
}

ValueId branch(Graph& graph, const std::string& name, ValueId x) {
  const auto parameter = [&](const char* what, Shape shape) {
    return graph.add_value({.name = name + "." + what, .role = Role::parameter, .shape = std::move(shape)});
  };
  const ValueId y = graph.add(Conv2dForward{{2, 4, 4, 3, 5, {}, 1}, {}}, name, {x, parameter("weight", {5, 1, 1, 3})});
  return graph.add(BatchNormForward{32, 5, 1e-5f, {}}, name, {y, parameter("scale", {5}), parameter("shift", {5})});
}

TEST(Backward, BringsNormsWithOneGradientTogether) {
  Graph graph;
  const ValueId x = graph.add_value({.name = "x", .shape = {2, 4, 4, 3}});
  const ValueId t = graph.add_value({.name = "t", .dtype = DType::i32, .shape = {32}});
  const ValueId one = branch(graph, "one", x), other = branch(graph, "other", x);
  const ValueId sum = graph.add(Add{160, {}}, "sum", {one, other});
  const size_t first_gradient = graph.nodes.size() + 1;
  graph.add(SoftmaxCrossEntropyForward{32, 5, 0, {}}, "loss", {sum, t});
  add_backward(graph, 0, 2);
  const std::vector<size_t> places = places_of_norm_gradients(graph);
  ASSERT_EQ(places.size(), 2u);
  EXPECT_GE(places[0], first_gradient);
  EXPECT_EQ(places[1], places[0] + 1);
  EXPECT_EQ(graph.nodes[places[0]].name, "other");
  EXPECT_EQ(graph.nodes[places[1]].name, "one");
  for (const size_t place : places) {  // each of them ahead of whoever reads what it gives
    const ValueId dx = graph.nodes[place].out[0];
    for (size_t i = 0; i < place; ++i) EXPECT_EQ(std::count(graph.nodes[i].in.begin(), graph.nodes[i].in.end(), dx), 0);
  }
}

TEST(Backward, LeavesNormsApartWhereOneGradientAddsToTheOther) {
  Graph graph;
  const ValueId x = graph.add_value({.name = "x", .shape = {2, 4, 4, 3}});
  const ValueId t = graph.add_value({.name = "t", .dtype = DType::i32, .shape = {32}});
  const ValueId one = branch(graph, "one", x);
  const ValueId scale = graph.add_value({.name = "scale", .role = Role::parameter, .shape = {5}});
  const ValueId shift = graph.add_value({.name = "shift", .role = Role::parameter, .shape = {5}});
  const ValueId again = graph.add(BatchNormForward{32, 5, 1e-5f, {}}, "again", {one, scale, shift});
  graph.add(SoftmaxCrossEntropyForward{32, 5, 0, {}}, "loss", {graph.add(Add{160, {}}, "sum", {one, again}), t});
  add_backward(graph, 0, 2);
  const std::vector<size_t> places = places_of_norm_gradients(graph);
  ASSERT_EQ(places.size(), 2u);
  EXPECT_EQ(graph.nodes[places[0]].name, "again");
  const ValueId complete = graph.nodes[places[1]].in[1];  // what `one` reads is written behind `again`
  const auto writes = [&](const Node& node) { return std::count(node.out.begin(), node.out.end(), complete) > 0; };
  const auto writer = std::find_if(graph.nodes.begin() + static_cast<std::ptrdiff_t>(places[0]), graph.nodes.end(), writes);
  EXPECT_LT(writer, graph.nodes.begin() + static_cast<std::ptrdiff_t>(places[1]));
}

TEST(Backward, LeavesANormBehindWhoeverReadsWhatItAddsTo) {
  Graph graph;
  const ValueId image = graph.add_value({.name = "image", .shape = {2, 4, 4, 3}});
  const ValueId t = graph.add_value({.name = "t", .dtype = DType::i32, .shape = {32}});
  const auto parameter = [&](const char* name, Shape shape) {
    return graph.add_value({.name = name, .role = Role::parameter, .shape = std::move(shape)});
  };
  const auto conv = [&](const char* name, const char* weight) {
    return graph.add(Conv2dForward{{2, 4, 4, 3, 5, {}, 1}, {}}, name, {image, parameter(weight, {5, 1, 1, 3})});
  };
  const auto norm = [&](const char* name, const char* scale, const char* shift, ValueId of) {
    return graph.add(BatchNormForward{32, 5, 1e-5f, {}}, name, {of, parameter(scale, {5}), parameter(shift, {5})});
  };
  const ValueId x = conv("x", "x.weight"), z = conv("z", "z.weight");
  const ValueId u = norm("u", "u.scale", "u.shift", x), v = norm("v", "v.scale", "v.shift", z);
  const ValueId w = graph.add(ActivationForward{Activation::relu, 160, {}}, "w", {graph.add(Add{160, {}}, "w", {u, v})});
  const ValueId y = graph.add(Add{160, {}}, "y", {x, z});
  graph.add(SoftmaxCrossEntropyForward{32, 5, 0, {}}, "loss", {graph.add(Add{160, {}}, "both", {w, y}), t});
  add_backward(graph, 0, 2);
  const auto adds = [](const Node& node) { return std::holds_alternative<BatchNormBackward>(node.op) && into_of(node.op) == Into::add; };
  const auto norm_that_adds = std::find_if(graph.nodes.begin(), graph.nodes.end(), adds);
  ASSERT_NE(norm_that_adds, graph.nodes.end());
  EXPECT_EQ(norm_that_adds->name, "u");
  const ValueId added_to = graph.storage_of(norm_that_adds->out[0]);
  const auto sums_it_up = [&](const Node& node) {
    return std::holds_alternative<Add>(node.op) &&
           std::any_of(node.in.begin(), node.in.end(), [&](ValueId id) { return graph.storage_of(id) == added_to; });
  };
  EXPECT_EQ(std::count_if(graph.nodes.begin(), norm_that_adds, sums_it_up), 1);  // of z's gradient, which starts as the same
  EXPECT_EQ(std::count_if(norm_that_adds, graph.nodes.end(), sums_it_up), 0);
}

}  // namespace
}  // namespace fovea::graph
