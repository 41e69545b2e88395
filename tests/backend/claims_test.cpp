// A convolution, its bias and its ReLU as one step: what is not finite stays visible, on every backend and in every precision.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/backend/case_runner.h"

namespace fovea::test {
namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();

class FusedBias : public testing::TestWithParam<Computes> {
 protected:
  void SetUp() override {
    std::string absent_because;
    backend_ = open_or_say_why_not(GetParam().backend, absent_because);
    if (!backend_) GTEST_SKIP() << absent_because;
    stream_ = backend_->device().make_stream();
  }
  Op typed(const Op& op) const { return graph::in_precision(op, GetParam().precision); }
  Tensor place(const graph::Type& type, float value) {
    Operand operand = make_operand(type);
    set_values(operand, std::vector<double>(static_cast<size_t>(type.shape.elements()), value));
    memory_.push_back(backend_->device().allocate(operand.bytes.size()));
    backend_->device().upload(memory_.back()->data(), operand.bytes.data(), operand.bytes.size(), *stream_);
    return {memory_.back()->data(), type.dtype, type.shape};
  }

  // All outputs of a convolution of ones by ones with this bias and ReLU; none where it is not taken as one step.
  std::vector<double> outputs(const Conv2dShape& shape, float bias) {
    graph::Graph graph;
    const Conv2dForward op = std::get<Conv2dForward>(typed(Conv2dForward{shape, {}}));
    const graph::Type x{op.types.x, shape.x()}, w{op.types.w, shape.filter()}, b{DType::f32, {shape.k}}, y{op.types.y, shape.y()};
    const auto add = [&](const char* name, const graph::Type& type) {
      return graph.add_value({.name = name, .dtype = type.dtype, .shape = type.shape});
    };
    const std::vector<graph::ValueId> in = {add("x", x), add("w", w), add("b", b)};
    const graph::ValueId product = graph.add(op, "conv", {in[0], in[1]});
    const graph::ValueId sum = graph.add(typed(BiasForward{shape.n * shape.p() * shape.q(), shape.k, {}}), "conv", {product, in[2]});
    graph.add(typed(ActivationForward{Activation::relu, y.shape.elements(), {}}), "conv", {sum});
    const std::vector<int> uses = {1, 1, 1, 1, 1, 0};
    const std::optional<Claim> claim = backend_->claim({graph, graph.nodes, uses}, {.threads = 2});
    if (!claim || claim->nodes != 3 || claim->kernel->input_layout(0) != Layout{} || claim->kernel->output_layout(0) != Layout{}) return {};
    memory_.push_back(backend_->device().allocate(claim->kernel->workspace_bytes()));
    const Buffers buffers = {{place(x, 1), place(w, 1), place(b, bias)}, {place(y, 7)}};
    claim->kernel->bind(buffers, memory_[memory_.size() - 5]->data());
    claim->kernel->run(*stream_);
    Operand result = make_operand(y);
    backend_->device().download(result.bytes.data(), buffers.out[0].data, result.bytes.size(), *stream_);
    stream_->synchronize();
    return values_of(result);
  }

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Stream> stream_;
  std::vector<std::unique_ptr<Memory>> memory_;
};

TEST_P(FusedBias, HidesNoNanAndNoInfinity) {
  const Window window = {.r = 3, .s = 3, .pad_top = 1, .pad_bottom = 1, .pad_left = 1, .pad_right = 1};
  for (const Conv2dShape& shape : {Conv2dShape{.n = 4, .h = 14, .w = 14, .c = 32, .k = 64, .window = window},
                                   Conv2dShape{.n = 22, .h = 33, .w = 33, .c = 32, .k = 32, .window = window},
                                   Conv2dShape{.n = 2, .h = 40, .w = 40, .c = 16, .k = 32, .window = window},
                                   Conv2dShape{.n = 2, .h = 9, .w = 9, .c = 3, .k = 8, .window = window}}) {
    for (const double value : outputs(shape, nan)) ASSERT_TRUE(std::isnan(value)) << value << " with " << shape.c << " channels";
    for (const double value : outputs(shape, infinity)) ASSERT_EQ(value, infinity) << shape.c << " channels";
    for (const double value : outputs(shape, -1e4f)) ASSERT_EQ(value, 0) << shape.c << " channels";
    for (const double value : outputs(shape, 1)) ASSERT_GE(value, 4 * shape.c + 1) << "in the corners four taps lie inside the image";
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, FusedBias, testing::ValuesIn(all_computes()), [](const auto& info) { return name_of(info.param); });

}  // namespace
}  // namespace fovea::test
