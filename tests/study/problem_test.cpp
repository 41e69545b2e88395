// Problems as benchdnn writes them: what is left out, what cannot be, and back to text again.
#include "fovea/study/problem.h"

#include <gtest/gtest.h>

#include "fovea/base/error.h"
#include "fovea/graph/graph.h"

namespace fovea::study {
namespace {

Op op_of(const std::string& text) {
  const std::vector<OpCase> cases = parse_problem(text);
  EXPECT_EQ(cases.size(), 1u) << text;
  return cases.at(0).op;
}
Conv2dShape conv(const std::string& text) { return std::get<Conv2dForward>(op_of("--dir=FWD_D " + text)).shape; }
PoolShape pool(const std::string& text) { return std::get<MaxPoolForward>(op_of("--dir=FWD_D " + text)).shape; }

const Conv2dShape resnet_layer = {
    .n = 32, .h = 56, .w = 56, .c = 64, .k = 64, .window = {.r = 3, .s = 3, .pad_top = 1, .pad_bottom = 1, .pad_left = 1, .pad_right = 1}};

TEST(Problem, AllEntriesOfAConvolution) {
  EXPECT_EQ(conv("g1mb32ic64ih56iw56oc64oh56ow56kh3kw3sh1sw1ph1pw1dh0dw0n\"layer1\""), resnet_layer);
  EXPECT_EQ(conv("g1mb32_ic64ih56iw56_oc64oh56ow56_kh3kw3_sh1sw1_ph1pw1_dh0dw0_nlayer1"), resnet_layer);
  const Conv2dShape shape = conv("g2mb3ic4ih9iw12oc6oh4ow12kh3kw2sh2sw1ph0pw2dh0dw2");
  EXPECT_EQ(shape.groups, 2);
  EXPECT_EQ(shape.window, (Window{.r = 3, .s = 2, .stride_h = 2, .stride_w = 1, .pad_left = 2, .pad_right = 1, .dilation_w = 3}));
  EXPECT_EQ(shape.y(), (Shape{3, 4, 12, 6}));
}

TEST(Problem, WhatIsLeftOutFollows) {
  EXPECT_EQ(conv("mb32ic64ih56oc64kh3ph1"), resnet_layer) << "outputs from the padding";
  EXPECT_EQ(conv("mb32ic64ih56oc64oh56kh3"), resnet_layer) << "padding from the outputs";
  EXPECT_EQ(conv("ic1ih5oc1kh1").n, 2);
  EXPECT_EQ(conv("ic1ih5oc1kh3").window, (Window{.r = 3, .s = 3}));
  EXPECT_EQ(conv("--mb=7 mb32ic64ih56oc64kh3ph1").n, 7);
  const Window even = conv("ic1ih8oc1oh4kh3sh2").window;
  EXPECT_EQ(std::pair(even.pad_top, even.pad_bottom), std::pair(int64_t{0}, int64_t{1})) << "the odd row of padding is at the end";
  const Conv2dShape row = conv("ic3iw20oc4kw5pw2");
  EXPECT_EQ(row.x(), (Shape{2, 1, 20, 3}));
  EXPECT_EQ(row.y(), (Shape{2, 1, 20, 4}));
  EXPECT_EQ(conv("ic3ih9iw5oc4kh3kw1").window, (Window{.r = 3, .s = 1}));
}

TEST(Problem, TheEntriesTellTheDriver) {
  EXPECT_EQ(pool("mb8ic16ih28oh14kh2sh2").y(), (Shape{8, 14, 14, 16}));
  const LinearForward product = std::get<LinearForward>(op_of("10x30:30x20n\"fc\""));
  EXPECT_EQ(product.shape, (LinearShape{10, 30, 20}));
  EXPECT_EQ(std::get<LinearForward>(op_of("--mb=64 10x30:30x20")).shape.n, 64);
  EXPECT_EQ(std::get<LinearBackwardFilter>(op_of("--ip --dir=BWD_W mb4ic16ih5oc120")).shape, (LinearShape{4, 400, 120}));
  const BatchNormForward norm = std::get<BatchNormForward>(op_of("--dir=FWD_D mb4ic16ih5iw6eps1e-5_n\"bn\""));
  EXPECT_EQ(norm.rows, 120);
  EXPECT_EQ(norm.c, 16);
  EXPECT_EQ(norm.epsilon, 1e-5f);
}

TEST(Problem, EachDirectionIsACase) {
  const auto names = [](const std::string& text) {
    std::vector<std::string> names;
    for (const OpCase& one : parse_problem(text)) names.push_back(one.name);
    return names;
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(names("ic1ih5oc1kh3n\"a\""), (Names{"a/conv2d_forward", "a/conv2d_backward_data", "a/conv2d_backward_filter"}));
  EXPECT_EQ(names("--conv --dir=BWD_W,FWD_I ic1ih5oc1kh3n\"a\""), (Names{"a/conv2d_backward_filter", "a/conv2d_forward"}));
  EXPECT_EQ(names("--alg=avg_p ic1ih5kh3ph1"), (Names{"ic1ih5kh3ph1/avg_pool_forward", "ic1ih5kh3ph1/avg_pool_backward"}));
  EXPECT_EQ(names("--bnorm ic1ih5nb"), (Names{"b/batch_norm_forward", "b/batch_norm_backward"}));
  EXPECT_EQ(names("--dir=FWD_I ic1ih5nb"), (Names{"b/batch_norm_inference"}));
  EXPECT_EQ(names("2x3:3x4"), (Names{"2x3:3x4/linear_forward"}));
}

// Padding behind the last window that is read is not part of the text, so it is compared as text.
TEST(Problem, EveryOperatorGoesToTextAndBack) {
  int count = 0;
  for (const OpCase& one : op_cases()) {
    const std::string text = problem_of(one.op);
    if (text.empty()) continue;
    SCOPED_TRACE(one.name + ": " + text);
    const Op again = op_of(text);
    EXPECT_EQ(problem_of(again), text);
    EXPECT_EQ(name_of(again), name_of(one.op));
    EXPECT_EQ(graph::inputs_of(again), graph::inputs_of(one.op));
    EXPECT_EQ(graph::outputs_of(again), graph::outputs_of(one.op));
    EXPECT_EQ(macs_of(again), macs_of(one.op));
    ++count;
  }
  EXPECT_GT(count, 100);
  EXPECT_EQ(problem_of(Conv2dForward{resnet_layer, {}}), "--conv --dir=FWD_D g1mb32ic64ih56iw56oc64oh56ow56kh3kw3sh1sw1ph1pw1dh0dw0");
  EXPECT_EQ(problem_of(Add{}), "");
}

TEST(Problem, WhatCannotBeIsNamed) {
  const std::vector<std::pair<std::string, std::string>> wrong = {{"", "no descriptor"},
                                                                  {"--conv", "no descriptor"},
                                                                  {"--deconv ic1ih5oc1kh3", "`--deconv`"},
                                                                  {"--dir=UP ic1ih5oc1kh3", "`UP`"},
                                                                  {"--dir=FWD_B ic1ih5oc1kh3", "FWD_D"},
                                                                  {"--dir=BWD_DW ic1ih5oc1kh3", "FWD_D, BWD_D, BWD_W"},
                                                                  {"--pool --dir=BWD_W ic1ih5kh3", "no direction BWD_W"},
                                                                  {"--alg=wino ic1ih5oc1kh3", "--alg=wino"},
                                                                  {"--alg=max ic1ih5oc1kh3", "--conv has no --alg"},
                                                                  {"--mb=0x ic1ih5oc1kh3", "`x`"},
                                                                  {"ic1ih5oc1kh3 ic1", "behind the descriptor"},
                                                                  {"ic1id5ih5oc1kh3", "`id`"},
                                                                  {"ic1ih5oc1kh3x", "`x`"},
                                                                  {"ic1ih5oc1kh3ic1", "twice"},
                                                                  {"ic1ihoc1kh3", "`ihoc`"},
                                                                  {"ic1ih5oc1kh", "`kh` has no number"},
                                                                  {"ic0ih5oc1kh3", "`ic` is 0"},
                                                                  {"ic99999999999999999999ih5oc1kh3", "`ic` is 99999999999999999999"},
                                                                  {"ih5oc1kh3", "needs the entry `ic`"},
                                                                  {"ic1oc1kh3", "needs the entry `ih`"},
                                                                  {"--conv ic1ih5kh3", "needs the entry `oc`"},
                                                                  {"--pool ic1ih5oc1kh3", "--pool has no entry `oc`"},
                                                                  {"ic1ih5oc1kh3eps1", "no entry `eps`"},
                                                                  {"ic1ih5eps0", "above 0"},
                                                                  {"ic1ih5oc1oh1kh3ph0", "`oh` is 1, but 3"},
                                                                  {"ic1ih5oc1kh7", "7 x 7"},
                                                                  {"g2ic3ih5oc2kh3", "2 groups"},
                                                                  {"2x3:4x5", "3 and 4"},
                                                                  {"2x3:3", "MxK:KxN"},
                                                                  {"2x3x4:3x5", "MxK:KxN"},
                                                                  {"--conv 2x3:3x5", "--conv"},
                                                                  {"--matmul ic1ih5oc1kh3", "--matmul"}};
  for (const auto& [text, says] : wrong) try {
      parse_problem(text);
      ADD_FAILURE() << text << " was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage) << text;
      EXPECT_NE(std::string(error.what()).find(says), std::string::npos) << error.what();
      EXPECT_NE(error.message().find('`' + text + '`'), std::string::npos) << error.what();
    }
}

TEST(Problem, LooksUnlikeANameOfACase) {
  for (const char* text : {"--conv x", "mb32ic64", "g1mb32", "ic1ih5oc1kh3", "10x30:30x20"}) EXPECT_TRUE(looks_like_problem(text)) << text;
  for (const char* text : {"", "lenet5/*", "conv2d_forward*", "*", "ic", "mobilenet_v1/*", "3x3*"})
    EXPECT_FALSE(looks_like_problem(text)) << text;
}

}  // namespace
}  // namespace fovea::study
