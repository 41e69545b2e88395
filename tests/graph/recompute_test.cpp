// Which values are computed again, out of what, and where.
#include "fovea/graph/recompute.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "fovea/graph/backward.h"

namespace fovea::graph {
namespace {

// Layers of 2 x 2 x 4 values a sample, of 3 samples, which the tests put together.
class Layers {
 public:
  Layers() { t_ = graph.add_value({.name = "t", .dtype = DType::i32, .shape = {3}}); }

  ValueId images() { return graph.add_value({.name = "x", .shape = {3, 2, 2, 4}}); }
  ValueId conv(const std::string& name, ValueId x) {
    return graph.add(Conv2dForward{{.n = 3, .h = 2, .w = 2, .c = 4, .k = 4}, {}}, name, {x, parameter(name + ".weight", {4, 1, 1, 4})});
  }
  ValueId norm(const std::string& name, ValueId x) {
    return graph.add(BatchNormForward{12, 4, 1e-5f, {}}, name, {x, parameter(name + ".scale", {4}), parameter(name + ".shift", {4})});
  }
  ValueId bias(const std::string& name, ValueId x) { return graph.add(BiasForward{12, 4, {}}, name, {x, parameter(name + ".bias", {4})}); }
  ValueId act(const std::string& name, ValueId x, Activation activation = Activation::relu) {
    return graph.add(ActivationForward{activation, 48, {}}, name, {x});
  }
  ValueId sum(const std::string& name, ValueId a, ValueId b) { return graph.add(Add{48, {}}, name, {a, b}); }
  ValueId pool(const std::string& name, ValueId x) {
    return graph.add(MaxPoolForward{{.n = 3, .h = 2, .w = 2, .c = 4, .window = {.r = 1, .s = 1}}, {}}, name, {x});
  }

  // Behind a head and a loss.
  void differentiate(ValueId last) {
    const ValueId flat = graph.add(Flatten{{3, 2, 2, 4}}, "flat", {last});
    const ValueId logits = graph.add(LinearForward{{3, 16, 5}, {}}, "head", {flat, parameter("head.weight", {5, 16})});
    graph.add(SoftmaxCrossEntropyForward{3, 5, 0, {}}, "loss", {logits, t_});
    const size_t backward = graph.nodes.size();
    add_backward(graph, 0, 3);
    before = graph.nodes.size();
    compute_again(graph, {0, backward});
  }

  // The values that are computed again, in that order.
  std::vector<std::string> again() const {
    std::vector<std::string> names;
    for (const Node& node : graph.nodes)
      if (node.name.ends_with(again_suffix)) names.push_back(graph.value(node.out[0]).name);
    return names;
  }
  size_t place(const std::string& name, std::string_view op) const {
    for (size_t i = 0; i < graph.nodes.size(); ++i)
      if (graph.nodes[i].name == name && name_of(graph.nodes[i].op) == op) return i;
    throw std::runtime_error("there is no " + name);
  }
  const Node& node(const std::string& name, std::string_view op) const { return graph.nodes[place(name, op)]; }
  std::string input(const std::string& name, std::string_view op, size_t i) const { return graph.value(node(name, op).in[i]).name; }

  Graph graph;
  size_t before = 0;  // nodes

 private:
  ValueId parameter(const std::string& name, Shape shape) {
    return graph.add_value({.name = name, .role = Role::parameter, .shape = std::move(shape)});
  }
  ValueId t_;
};

using Names = std::vector<std::string>;

TEST(Recompute, RepeatsWhatLiesBetweenConvolutions) {
  Layers layers;
  const ValueId first = layers.act("a1", layers.norm("n1", layers.conv("c1", layers.images())));
  layers.differentiate(layers.act("a2", layers.norm("n2", layers.conv("c2", first))));
  EXPECT_EQ(layers.again(), (Names{"n1.batch_norm_forward.again", "a1.activation_forward.again"}));
  const Node& norm = layers.node("n1.again", "batch_norm_inference");
  const Node& forward = layers.node("n1", "batch_norm_forward");
  EXPECT_EQ(norm.in, (std::vector<ValueId>{forward.in[0], forward.in[1], forward.in[2], forward.out[1], forward.out[2]}));
  EXPECT_EQ(layers.place("c2", "conv2d_backward_filter"), layers.place("a1.again", "activation_forward") + 1);
  EXPECT_EQ(layers.place("a1.again", "activation_forward"), layers.place("n1.again", "batch_norm_inference") + 1);
  EXPECT_EQ(layers.input("c2", "conv2d_backward_filter", 0), "a1.activation_forward.again");
  EXPECT_EQ(layers.input("a1", "activation_backward", 0), "a1.activation_forward.again");
  EXPECT_EQ(layers.input("c2", "conv2d_forward", 0), "a1.activation_forward");
}

// The end of a block is computed out of that of the block before, once, and in the order of the forward pass.
TEST(Recompute, RepeatsAChainOfSumsOnce) {
  Layers layers;
  ValueId x = layers.norm("around", layers.conv("c0", layers.images()));
  for (const std::string i : {"1", "2", "3"}) {
    const ValueId branch = layers.norm("n" + i, layers.conv("c" + i, x));
    x = layers.act("a" + i, layers.sum("s" + i, branch, x));
  }
  layers.differentiate(layers.norm("n4", layers.conv("c4", x)));
  EXPECT_EQ(layers.again(),
            (Names{"around.batch_norm_forward.again", "n1.batch_norm_forward.again", "s1.add.again", "a1.activation_forward.again",
                   "n2.batch_norm_forward.again", "s2.add.again", "a2.activation_forward.again", "n3.batch_norm_forward.again",
                   "s3.add.again", "a3.activation_forward.again"}));
  EXPECT_EQ(layers.place("c4", "conv2d_backward_filter"), layers.place("a3.again", "activation_forward") + 1);
  EXPECT_EQ(layers.input("c2", "conv2d_backward_filter", 0), "a1.activation_forward.again");
}

// With its output gone, that of the convolution would have to be kept.
TEST(Recompute, KeepsWhatNothingKeptGives) {
  Layers layers;
  const ValueId first = layers.act("a1", layers.bias("b1", layers.conv("c1", layers.images())));
  layers.differentiate(layers.act("a2", layers.norm("n2", layers.conv("c2", first))));
  EXPECT_EQ(layers.again(), Names());
  EXPECT_EQ(layers.graph.nodes.size(), layers.before);
}

// Claims tell where a rectifier let a batch norm through from what the norm read.
TEST(Recompute, RepeatsNothingForTheMaskOfANormAlone) {
  Layers layers;
  const ValueId stem = layers.act("a1", layers.norm("n1", layers.conv("c1", layers.images())));
  const ValueId pooled = layers.pool("p1", stem);
  layers.differentiate(layers.act("a2", layers.norm("n2", layers.conv("c2", pooled))));
  EXPECT_EQ(layers.again(), Names());
  EXPECT_EQ(layers.input("c2", "conv2d_backward_filter", 0), "p1.max_pool_forward");
}

TEST(Recompute, RepeatsWhatAnActivationReadsWhoseGradientDoes) {
  Layers layers;
  const ValueId first = layers.act("a1", layers.norm("n1", layers.conv("c1", layers.images())), Activation::gelu);
  layers.differentiate(layers.norm("n2", layers.conv("c2", first)));
  EXPECT_EQ(layers.again(), (Names{"n1.batch_norm_forward.again", "a1.activation_forward.again"}));
  EXPECT_EQ(layers.input("a1", "activation_backward", 0), "n1.batch_norm_forward.again");
}

// A value that is needed again at once would be alive all the time anyway.
TEST(Recompute, KeepsWhatIsNeededAtOnce) {
  Layers layers;
  layers.differentiate(layers.act("a1", layers.norm("n1", layers.conv("c1", layers.images())), Activation::tanh));
  EXPECT_EQ(layers.again(), Names());
}

TEST(Recompute, DoesNotPartTheGradientsOfABiasedConvolution) {
  Layers layers;
  const ValueId first = layers.norm("n1", layers.conv("c1", layers.images()));
  const ValueId second = layers.act("a2", layers.bias("b2", layers.conv("c2", first)));
  layers.differentiate(layers.norm("n3", layers.conv("c3", second)));
  EXPECT_EQ(layers.again(), (Names{"n1.batch_norm_forward.again"}));
  const size_t run = layers.place("a2", "activation_backward");
  EXPECT_EQ(layers.place("b2", "bias_backward"), run + 1);
  EXPECT_EQ(layers.place("c2", "conv2d_backward_filter"), run + 2);
  EXPECT_LT(layers.place("n1.again", "batch_norm_inference"), layers.place("c3", "conv2d_backward_data"));
}

}  // namespace
}  // namespace fovea::graph
