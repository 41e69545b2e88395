// Convolutions of few channels on images enough for every multiprocessor of a GPU, larger than the table of cases has them: of sizes that
// are no multiples of a tile, with several tiles a block, on small whole numbers against the reference in double.
#include <gtest/gtest.h>

#include "tests/backend/case_runner.h"

namespace fovea::test {
namespace {

class FewChannels : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    std::string absent_because;
    backend_ = open_or_say_why_not("cuda", absent_because);
    if (!backend_) GTEST_SKIP() << absent_because;
  }

  template <class Operator>
  void expect_exact(const Conv2dShape& shape) {
    study::OpCase in_float;
    in_float.op = Operator{.shape = shape, .types = {}};
    const study::OpCase op_case = study::in_precision(in_float, *graph::precision_named(GetParam()));
    SCOPED_TRACE(std::string(name_of(op_case.op)) + " " + std::to_string(shape.c) + " to " + std::to_string(shape.k));
    const std::string algorithm = make(*backend_, op_case.op, {.threads = 1})->algorithm();
    const bool on_tensor_cores = algorithm.find("tensor cores") != std::string::npos;
    EXPECT_EQ(algorithm.find("fetched ahead") != std::string::npos, on_tensor_cores) << algorithm;
    const CaseData data = make_data(op_case, Fill::small_integer, 23);
    const Operand got = run_case(*backend_, op_case.op, data).front(), exact = exact_result(op_case.op, data).front();
    const std::vector<double> values = values_of(got), expected = rounded_to(got.type.dtype, values_of(exact));
    ASSERT_EQ(values.size(), expected.size());
    for (size_t i = 0; i < values.size(); ++i) ASSERT_EQ(values[i], expected[i]) << "element " << i;
  }

  std::unique_ptr<Backend> backend_;
};

constexpr Conv2dShape many_tiles = {.n = 220, .h = 33, .w = 33, .c = 16, .k = 32, .window = {}};
constexpr Conv2dShape unequal_padding = {
    .n = 22, .h = 33, .w = 33, .c = 32, .k = 32, .window = {.r = 3, .s = 3, .pad_top = 2, .pad_left = 1, .pad_right = 1}};

// A pixel in shared memory holds a line of the window, of 5 to 28 numbers. Several tiles an image or one, most of them over its edge.
constexpr Window seven = {.r = 7, .s = 7, .stride_h = 2, .stride_w = 2, .pad_top = 3, .pad_bottom = 3, .pad_left = 3, .pad_right = 3};
constexpr Window unequal = {.r = 2, .s = 7, .stride_h = 2, .stride_w = 2, .pad_top = 1, .pad_left = 3, .pad_right = 2};
constexpr Window three = {.r = 3, .s = 3, .pad_top = 1, .pad_bottom = 1, .pad_left = 1, .pad_right = 1};
constexpr Conv2dShape folded[] = {
    {.n = 133, .h = 33, .w = 40, .c = 3, .k = 8, .window = seven},
    {.n = 140, .h = 17, .w = 24, .c = 3, .k = 16, .window = three},
    {.n = 140, .h = 16, .w = 24, .c = 1, .k = 40, .window = {.r = 3, .s = 5}},
    {.n = 133, .h = 32, .w = 32, .c = 3, .k = 40, .window = unequal},
    {.n = 70, .h = 33, .w = 34, .c = 4, .k = 8, .window = seven},
    {.n = 270, .h = 20, .w = 40, .c = 5, .k = 8, .window = {.r = 2, .s = 3, .stride_w = 2, .pad_left = 1}},
};

TEST_P(FewChannels, FoldedForward) {
  for (const Conv2dShape& shape : folded) expect_exact<Conv2dForward>(shape);
}

TEST_P(FewChannels, FoldedGradientByTheFilters) {
  for (const Conv2dShape& shape : folded) expect_exact<Conv2dBackwardFilter>(shape);
}

TEST_P(FewChannels, Forward) {
  for (const Conv2dShape& shape :
       {many_tiles, unequal_padding, Conv2dShape{.n = 22, .h = 33, .w = 33, .c = 64, .k = 8, .window = {.r = 1, .s = 3, .pad_left = 2}},
        Conv2dShape{.n = 14, .h = 33, .w = 33, .c = 32, .k = 40, .window = {.r = 2, .s = 1, .pad_bottom = 1}},
        Conv2dShape{.n = 44, .h = 65, .w = 16, .c = 32, .k = 8, .window = {.r = 1, .s = 3, .pad_left = 1, .pad_right = 1}}})
    expect_exact<Conv2dForward>(shape);
}

TEST_P(FewChannels, GradientByTheImage) {
  for (const Conv2dShape& shape :
       {many_tiles, unequal_padding, Conv2dShape{.n = 22, .h = 33, .w = 33, .c = 8, .k = 64, .window = {.r = 3, .s = 1, .pad_bottom = 2}},
        Conv2dShape{.n = 14, .h = 33, .w = 33, .c = 64, .k = 32, .window = {}}})
    expect_exact<Conv2dBackwardData>(shape);
}

TEST_P(FewChannels, GradientByTheFilters) {
  for (const Conv2dShape& shape : {many_tiles, unequal_padding}) expect_exact<Conv2dBackwardFilter>(shape);
}

INSTANTIATE_TEST_SUITE_P(Precisions, FewChannels, testing::Values("bf16", "fp16"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace fovea::test
