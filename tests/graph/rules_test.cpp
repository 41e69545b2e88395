// The rules that give shapes and types, and the checks when a node is added.
#include "fovea/graph/graph.h"
#include "tests/data/data_folder.h"

namespace fovea::graph {
namespace {

using data::error_text;

const Types in_double = {DType::f64, DType::f64, DType::f64, DType::f64};

Conv2dShape strided() {  // 9 x 11 x 4 in two groups, kernel 3 x 2, stride 2 x 3, padding on one side
  const Window window = {.r = 3, .s = 2, .stride_h = 2, .stride_w = 3, .pad_top = 1};
  return {.n = 2, .h = 9, .w = 11, .c = 4, .k = 6, .window = window, .groups = 2};
}

TEST(Rules, OfConvolutions) {
  const Shape x = {2, 9, 11, 4}, w = {6, 3, 2, 2}, y = {2, 4, 4, 6};
  const auto f64 = [](const Shape& shape) { return Type{DType::f64, shape}; };
  const Conv2dForward forward{strided(), in_double};
  EXPECT_EQ(inputs_of(forward), (std::vector<Type>{f64(x), f64(w)}));
  EXPECT_EQ(outputs_of(forward), (std::vector<Type>{f64(y)}));
  const Conv2dBackwardData data{strided(), Into::add, in_double};
  EXPECT_EQ(inputs_of(data), (std::vector<Type>{f64(y), f64(w)}));
  EXPECT_EQ(outputs_of(data), (std::vector<Type>{f64(x)}));
  const Conv2dBackwardFilter filter{strided(), Into::add, in_double};
  EXPECT_EQ(inputs_of(filter), (std::vector<Type>{f64(x), f64(y)}));
  EXPECT_EQ(outputs_of(filter), (std::vector<Type>{f64(w)}));
  EXPECT_EQ(macs_of(forward), 2 * 4 * 4 * 6 * 3 * 2 * 2);
}

TEST(Rules, TheArgmaxOfAWideWindowNeedsTwoBytes) {
  PoolShape shape{.n = 1, .h = 40, .w = 40, .c = 1, .window = {.r = 16, .s = 16}};
  EXPECT_EQ(outputs_of(MaxPoolForward{shape, {}})[1], (Type{DType::u8, {1, 25, 25, 1}}));
  shape.window.s = 17;
  EXPECT_EQ(outputs_of(MaxPoolForward{shape, {}})[1].dtype, DType::u16);
}

TEST(Rules, TheUpdateHasOutputsForItsMoments) {
  Update op;
  op.parameters = {{.elements = 7}, {.elements = 3}};
  for (const auto& [rule, tensors] : {std::pair<UpdateRule, size_t>{Sgd{}, 1}, {Sgd{.momentum = 0.9f}, 2}, {Adam{}, 3}}) {
    op.rule = rule;
    EXPECT_EQ(inputs_of(op).size(), 4u);
    EXPECT_EQ(outputs_of(op).size(), 2 * tensors);
    EXPECT_EQ(outputs_of(op).back(), (Type{DType::f32, {3}}));
  }
}

TEST(Graph, ElementwiseNodesKeepTheAxesOfTheirInput) {
  Graph graph;
  const ValueId x = graph.add_value({.name = "x", .shape = {2, 3, 3, 4}});
  const ValueId y = graph.add(ActivationForward{Activation::relu, 72, {}}, "relu1", {x});
  EXPECT_EQ(graph.value(y).shape, (Shape{2, 3, 3, 4}));
  EXPECT_EQ(graph.value(y).name, "relu1.activation_forward");
  EXPECT_EQ(graph.value(graph.add(ActivationForward{Activation::relu, 72, {}}, "relu1", {x}, 2)).name, "relu1.activation_forward@2");
}

TEST(Graph, FlattenIsAnotherShapeOfTheSameMemory) {
  Graph graph;
  const ValueId x = graph.add_value({.name = "x", .dtype = DType::f64, .shape = {2, 3, 3, 4}});
  const ValueId flat = graph.add(Flatten{{2, 3, 3, 4}}, "flatten", {x});
  EXPECT_EQ(graph.value(flat).shape, (Shape{2, 36}));
  EXPECT_EQ(graph.value(flat).dtype, DType::f64);
  EXPECT_EQ(graph.storage_of(flat), x);
}

TEST(Graph, RefusesValuesThatDoNotFitTheOperator) {
  Graph graph;
  const ValueId x = graph.add_value({.name = "x", .shape = {2, 5}}), w = graph.add_value({.name = "w", .shape = {3, 5}});
  const ValueId wide = graph.add_value({.name = "wide", .dtype = DType::f64, .shape = {3, 5}});
  const LinearForward op{{.n = 2, .c = 5, .k = 3}, {}};
  const std::string text = error_text(ExitCode::internal, [&] { graph.add(op, "fc", {x, x}); });
  EXPECT_NE(text.find("inputs of node `fc` (linear_forward)"), std::string::npos) << text;
  error_text(ExitCode::internal, [&] { graph.add(op, "fc", {x, wide}); });
  error_text(ExitCode::internal, [&] { graph.add(op, "fc", {x}); });
  EXPECT_NE(error_text(ExitCode::internal, [&] { graph.add_into(op, "fc", {x, w}, {x}); }).find("outputs"), std::string::npos);
}

TEST(Validate, RefusesWindowsAndGroupsThatCannotBe) {
  Conv2dShape shape = strided();
  validate(shape);
  shape.groups = 3;
  error_text(ExitCode::config, [&] { validate(shape); });
  shape = strided();
  shape.window.r = 11;
  EXPECT_NE(error_text(ExitCode::config, [&] { validate(shape); }).find("10 x 11"), std::string::npos);
  shape = strided();
  shape.window.stride_w = 0;
  error_text(ExitCode::config, [&] { validate(shape); });
  PoolShape pool{.h = 4, .w = 4, .window = {.r = 2, .s = 2, .pad_left = 2}};
  error_text(ExitCode::config, [&] { validate(pool); });
}

}  // namespace
}  // namespace fovea::graph
