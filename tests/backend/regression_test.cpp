// What other frameworks have got wrong without an error, on every backend. Each test says where and what; the expected values are those of
// tests/golden/operators.json or worked out by hand.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/golden/operators.h"

namespace fovea::test {
namespace {

using Values = std::vector<double>;

class Regression : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    std::string absent_because;
    backend_ = open_or_say_why_not(GetParam(), absent_because);
    if (!backend_) GTEST_SKIP() << absent_because;
  }

  std::vector<Operand> run(const Op& op, CaseData data) {
    for (const graph::Type& type : graph::outputs_of(op)) {
      data.out.push_back(make_operand(type));
      std::ranges::fill(data.out.back().bytes, std::byte{0xFF});
    }
    return run_case(*backend_, op, data, {.threads = 3});
  }

  void expect_golden(const std::vector<std::string_view>& golden_cases) {
    for (const std::string_view golden_case : golden_cases)
      for (const golden::Check& in_double : golden::checks_of(golden_case)) {
        SCOPED_TRACE(in_double.name);
        const golden::Check check = golden::in_float(in_double);
        const std::vector<Operand> got = run_case(*backend_, check.op, check.data, {.threads = 3});
        ASSERT_EQ(got.size(), check.expected.size());
        for (size_t i = 0; i < got.size(); ++i) expect_near(values_of(got[i]), check.expected[i]);
      }
  }

 private:
  static void expect_near(const Values& got, const Values& expected) {
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i)
      ASSERT_NEAR(got[i], expected[i], 1e-5 * std::max(1.0, std::abs(expected[i]))) << "element " << i;
  }

  std::unique_ptr<Backend> backend_;
};

Operand floats(const Shape& shape, const std::vector<float>& values) { return operand_of(shape, values); }

// PyTorch: the gradient of the filters of 24 depthwise channels at stride 2 missed the last row and column (issue 50042), and
// nn.grad.conv2d_weight mixed up the groups (issue 51430).
TEST_P(Regression, GradientsOfGroupsAndOfDepthwiseFilters) {
  expect_golden(
      {"groups", "groups strided", "depthwise", "depthwise strided", "depthwise of 24 channels", "depthwise with two filters a channel"});
}

// Core ML tools counted what hangs over the image with `ceil_mode` as padding (coremltools issue 2772), rten too (rten pull request 1456);
// PyTorch gave NaN for a window that lay beyond the image altogether (issue 36977).
TEST_P(Regression, DivisorOfAMeanThatHangsOverTheImage) {
  expect_golden({"mean", "mean counted", "mean ceil", "mean ceil counted", "mean ceil without padding", "mean ceil counted without padding",
                 "mean without a window beyond the image"});
}

// TensorFlow 2.8 moved its running variance by the biased or the unbiased one, depending on whether the kernel was fused (issue 55545), MLX
// by the biased one (mlx pull request 3817). It is the biased one that normalises.
TEST_P(Regression, RunningVarianceIsUnbiased) {
  expect_golden({"norm of nine rows", "norm of other constants", "norm of two rows", "norm of one image"});
}

// PyTorch with oneDNN on XPU took images of one pixel for another layout and gave wrong gradients (torch-xpu-ops issue 4756); cuDNN's
// second release candidate gave zeros for all input channels but the first with filters of one pixel (cudnn.torch issue 28).
TEST_P(Regression, ImagesAndFiltersOfOnePixel) {
  expect_golden(
      {"image of one pixel", "image and kernel of one pixel", "depthwise on one pixel", "mean of one pixel", "maximum of one pixel"});
}

// TensorFlow refused such convolutions in 2016 (issue 889). Pixels that no window covers have a gradient of 0, though the memory held NaN.
TEST_P(Regression, StrideLargerThanTheKernel) {
  expect_golden({"stride larger than the kernel", "stride larger than a kernel of one", "mean with a stride larger than the window",
                 "maximum with a stride larger than the window"});
}

// Burn took the dilation of one axis for both in the gradient of maximum pooling (burn pull request 4466), Theano got the gradient by the
// image wrong (issue 4729), and Deeplearning4j left the dilation out of the gradient of pooling (issue 4100).
TEST_P(Regression, DilationInEveryGradient) {
  expect_golden({"dilated by one axis", "dilated by the other axis", "dilated and strided", "dilated groups", "depthwise dilated",
                 "maximum dilated by one axis", "maximum dilated by the other axis"});
}

// Torch 7 and Flux divided by rows - 1 = 0 and had NaN in their running variance from then on (torch/nn pull request 1271, Flux.jl pull
// request 2716). The operator gives the limit of its formula.
TEST_P(Regression, BatchNormOfOneRow) {
  const Operand x = floats({1, 3}, {-2, 0, 1000}), scale = floats({3}, {2, -1, 0.5f}), shift = floats({3}, {0.25f, -3, 7});
  const std::vector<Operand> forward = run(BatchNormForward{.rows = 1, .c = 3, .types = {}}, {{x, scale, shift}, {}});
  EXPECT_EQ(values_of(forward[0]), values_of(shift));
  EXPECT_EQ(values_of(forward[1]), values_of(x));
  EXPECT_EQ(values_of(forward[2]), Values(3, 0.0));
  const Operand dy = floats({1, 3}, {1, -2, 3});
  const std::vector<Operand> backward =
      run(BatchNormBackward{.rows = 1, .c = 3, .types = {}}, {{x, dy, scale, forward[1], forward[2]}, {}});
  EXPECT_EQ(values_of(backward[0]), Values(3, 0.0));
  EXPECT_EQ(values_of(backward[1]), Values(3, 0.0));
  EXPECT_EQ(values_of(backward[2]), values_of(dy));
}

// All rows alike: the variance is 0. As the mean of squares less the square of the mean it would be off by 16 here, and perhaps negative.
TEST_P(Regression, BatchNormOfEqualRows) {
  const int64_t rows = 1000;
  std::vector<float> x;
  for (int64_t i = 0; i < rows; ++i) x.insert(x.end(), {0.1f, -12345.678f});
  const Operand scale = floats({2}, {3, 2}), shift = floats({2}, {-1, 0.5f});
  const std::vector<Operand> got =
      run(BatchNormForward{.rows = rows, .c = 2, .epsilon = 0x1p-20f, .types = {}}, {{floats({rows, 2}, x), scale, shift}, {}});
  for (const double variance : values_of(got[2])) EXPECT_NEAR(variance, 0, 1e-5);
  for (const double variance : values_of(got[2])) EXPECT_GE(variance, 0);
}

INSTANTIATE_TEST_SUITE_P(Backends, Regression, testing::ValuesIn(backend_names()), [](const auto& info) { return info.param; });

}  // namespace
}  // namespace fovea::test
