// The reference itself, in double, against values worked out by hand or by PyTorch 2.11.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "fovea/backend/registry.h"
#include "fovea/base/error.h"
#include "fovea/base/philox.h"
#include "tests/backend/case_runner.h"

namespace fovea::test {
namespace {

using Values = std::vector<double>;

Operand operand(const Shape& shape, const Values& values) { return operand_of(shape, values); }
Operand labels(const std::vector<int32_t>& values) { return operand_of({static_cast<int64_t>(values.size())}, values); }
template <class T>
Operand struct_operand(const T& value) {
  Operand made = make_operand({DType::byte, {sizeof(T)}});
  std::memcpy(made.bytes.data(), &value, sizeof(T));
  return made;
}

std::vector<Operand> run_reference(const Op& op, std::vector<Operand> in, std::vector<Operand> out = {}) {
  const Op in_double = study::with_types(op, all_double);
  if (out.empty())
    for (const graph::Type& type : graph::outputs_of(in_double)) out.push_back(make_operand(type));
  return run_case(*open_backend("reference"), in_double, {std::move(in), std::move(out)});
}
Values first_output(const Op& op, std::vector<Operand> in) { return values_of(run_reference(op, std::move(in))[0]); }

void expect_near(const Values& got, const Values& expected, double relative = 1e-14) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i)
    EXPECT_NEAR(got[i], expected[i], relative * std::max(1.0, std::abs(expected[i]))) << "element " << i;
}

// (factor i) mod modulus - shift, for i = 0, 1, ...
Values pattern(int64_t count, int64_t factor, int64_t modulus, int64_t shift) {
  Values values;
  for (int64_t i = 0; i < count; ++i) values.push_back(static_cast<double>(i * factor % modulus - shift));
  return values;
}

// Two groups, unequal strides, padding above and on the right only.
const Conv2dShape uneven = {
    .n = 1, .h = 4, .w = 3, .c = 2, .k = 4, .window = {.r = 2, .s = 3, .stride_h = 2, .pad_top = 1, .pad_right = 2}, .groups = 2};

TEST(ReferenceConv2d, Forward) {
  const Values y =
      first_output(Conv2dForward{uneven, {}}, {operand(uneven.x(), pattern(24, 7, 11, 5)), operand(uneven.filter(), pattern(24, 5, 7, 3))});
  EXPECT_EQ(y, (Values{5, 7, 10, 4, 7, -2, 10, -21, -2, 0, -6, 9, -12, -13, 0, 16, -9, 13, 10, 9, 9, 1, 3, -27}));
}

TEST(ReferenceConv2d, BackwardData) {
  const Values dx = first_output(Conv2dBackwardData{uneven, Into::overwrite, {}},
                                 {operand(uneven.y(), pattern(24, 3, 5, 2)), operand(uneven.filter(), pattern(24, 5, 7, 3))});
  EXPECT_EQ(dx, (Values{4, -8, -8, 9, 1, -7, 1, -6, -10, 0, 14, 5, 2, 6, -9, 0, 14, -8, 0, 0, 0, 0, 0, 0}));
}

TEST(ReferenceConv2d, BackwardFilterOverwritesOrAdds) {
  const std::vector<Operand> in = {operand(uneven.x(), pattern(24, 7, 11, 5)), operand(uneven.y(), pattern(24, 3, 5, 2))};
  Values expected = {-6, 3, 1, 21, -4, 1, 11, -7, -2, -5, 9, -5, 11, -10, 0, 7, 0, 3, -10, -6, 10, 8, 11, -14};
  const Operand start = operand(uneven.filter(), Values(24, 100.0));
  EXPECT_EQ(values_of(run_reference(Conv2dBackwardFilter{uneven, Into::overwrite, {}}, in, {start})[0]), expected);
  for (double& value : expected) value += 100;
  EXPECT_EQ(values_of(run_reference(Conv2dBackwardFilter{uneven, Into::add, {}}, in, {start})[0]), expected);
}

TEST(ReferenceConv2d, Dilation) {
  const Conv2dShape shape = {.n = 1, .h = 5, .w = 4, .c = 1, .k = 1, .window = {.r = 2, .s = 2, .stride_w = 2, .dilation_h = 2}};
  const Values y =
      first_output(Conv2dForward{shape, {}}, {operand(shape.x(), pattern(20, 7, 11, 5)), operand(shape.filter(), pattern(4, 5, 7, 3))});
  EXPECT_EQ(y, (Values{13, 26, -5, -14, 10, 1}));
}

TEST(ReferenceLinear, ProductsAndTheirGradients) {
  const LinearShape shape = {.n = 2, .c = 3, .k = 2};
  const Operand x = operand(shape.x(), {1, 2, 3, 4, 5, 6}), w = operand(shape.weight(), {1, 0, -1, 2, 1, 0}),
                dy = operand(shape.y(), {1, 2, 3, 4});
  EXPECT_EQ(first_output(LinearForward{shape, {}}, {x, w}), (Values{-2, 4, -2, 13}));
  EXPECT_EQ(first_output(LinearBackwardData{shape, Into::overwrite, {}}, {dy, w}), (Values{5, 2, -1, 11, 4, -3}));
  EXPECT_EQ(first_output(LinearBackwardFilter{shape, Into::overwrite, {}}, {x, dy}), (Values{13, 17, 21, 18, 24, 30}));
  EXPECT_EQ(first_output(BiasForward{2, 2, {}}, {dy, operand({2}, {10, 20})}), (Values{11, 22, 13, 24}));
  EXPECT_EQ(first_output(BiasBackward{2, 2, Into::overwrite, {}}, {dy}), (Values{4, 6}));
}

// -5  2 -2  5
//  1 -3  4  0
// -4  3 -1 -5   with a border of one around it, in windows of 2 x 2
const PoolShape bordered = {
    .n = 1,
    .h = 3,
    .w = 4,
    .c = 1,
    .window = {.r = 2, .s = 2, .stride_h = 2, .stride_w = 2, .pad_top = 1, .pad_bottom = 1, .pad_left = 1, .pad_right = 1}};

TEST(ReferencePool, MaximumAndItsPlace) {
  const std::vector<Operand> out = run_reference(MaxPoolForward{bordered, {}}, {operand(bordered.x(), pattern(12, 7, 11, 5))});
  EXPECT_EQ(values_of(out[0]), (Values{-5, 2, 5, 1, 4, 0}));
  EXPECT_EQ(values_of(out[1]), (Values{3, 2, 2, 1, 1, 0}));
  const Values dx = first_output(MaxPoolBackward{bordered, Into::overwrite, {}}, {operand(bordered.y(), {1, 2, 3, 4, 5, 6}), out[1]});
  EXPECT_EQ(dx, (Values{1, 2, 0, 3, 4, 0, 5, 6, 0, 0, 0, 0}));
}

TEST(ReferencePool, FirstOfEqualsWins) {
  const PoolShape shape = {.n = 1, .h = 2, .w = 2, .c = 1, .window = {.r = 2, .s = 2}};
  EXPECT_EQ(values_of(run_reference(MaxPoolForward{shape, {}}, {operand(shape.x(), {1, 7, 7, 7})})[1]), Values{1});
  EXPECT_EQ(values_of(run_reference(MaxPoolForward{shape, {}}, {operand(shape.x(), {0, 0, 0, 0})})[1]), Values{0});
}

TEST(ReferencePool, MeanWithAndWithoutPadding) {
  const Operand x = operand(bordered.x(), pattern(12, 7, 11, 5));
  EXPECT_EQ(first_output(AvgPoolForward{bordered, CountPadding::no, {}}, {x}), (Values{-5, 0, 5, -1.5, 0.75, -2.5}));
  EXPECT_EQ(first_output(AvgPoolForward{bordered, CountPadding::yes, {}}, {x}), (Values{-1.25, 0, 1.25, -0.75, 0.75, -1.25}));
}

TEST(ReferenceActivation, Values) {
  const Operand x = operand({3}, {-1, 0, 2});
  EXPECT_EQ(first_output(ActivationForward{Activation::relu, 3, {}}, {x}), (Values{0, 0, 2}));
  expect_near(first_output(ActivationForward{Activation::sigmoid, 3, {}}, {x}), {0.2689414213699951, 0.5, 0.8807970779778823});
  expect_near(first_output(ActivationForward{Activation::tanh, 3, {}}, {x}), {-0.7615941559557649, 0, 0.9640275800758169});
}

TEST(ReferenceDropout, KeepsAboutTheRightShareOfTheRightElements) {
  const DropoutForward op = {.n = 8, .elements = 4001, .rate = 0.25f, .layer = 3, .first_sample = 2, .types = {}};
  const auto kept = [&](const DropoutForward& dropout, const StepControl& control) {
    return first_output(dropout, {operand({dropout.n, dropout.elements}, Values(static_cast<size_t>(dropout.n * dropout.elements), 3.0)),
                                  struct_operand(control)});
  };
  const StepControl control = {.seed = 9, .step = 4};
  const Values y = kept(op, control);
  double count = 0;
  for (const double value : y) {
    ASSERT_TRUE(value == 0 || value == 3.0 * static_cast<double>(1.0f / 0.75f)) << value;
    count += value != 0;
  }
  EXPECT_NEAR(count / 32008, 0.75, 0.012);  // five standard deviations
  for (const uint32_t element : {0u, 1u, 2u, 3u, 4u, 1999u, 4000u})
    EXPECT_EQ(y[5 * 4001 + element] != 0, philox(9, 3 | 3 << 8, 4, 2 + 5, element / 4).v[element % 4] >= 0x40000000u) << element;
  DropoutForward other_layer = op, next_sample = op;
  other_layer.layer = 4;
  next_sample.first_sample = 3;
  EXPECT_NE(kept(other_layer, control), y);
  EXPECT_NE(kept(op, {.seed = 9, .step = 5}), y);
  EXPECT_NE(kept(op, {.seed = 10, .step = 4}), y);
  const Values shifted = kept(next_sample, control);  // sample i of one is sample i + 1 of the other
  EXPECT_TRUE(std::equal(y.begin() + 4001, y.end(), shifted.begin()));
}

TEST(ReferenceLoss, SoftmaxCrossEntropy) {
  const std::vector<Operand> in = {operand({3, 3}, {1, 2, 3, 0.5, -1, 4, 1000, 0, -1000}), labels({2, 0, 1})};
  const SoftmaxCrossEntropyForward plain = {3, 3, 0, {}}, smoothed = {3, 3, 0.25f, {}};
  expect_near(first_output(plain, in), {0.4076059644443804, 3.5362695651247793, 1000});
  expect_near(first_output(smoothed, in), {0.6576059644443805, 3.3696028984581123, 1000});
  expect_near(first_output(SoftmaxCrossEntropyBackward{plain, 4}, in),
              {0.02250764329259511, 0.06118211776369941, -0.08368976105629455, -0.2427195596156304, 0.0016244858289154855,
               0.2410950737867149, 0.25, -0.25, 0});
  expect_near(first_output(SoftmaxCrossEntropyBackward{smoothed, 4}, in),
              {0.0016743099592617765, 0.040348784430366075, -0.042023094389627896, -0.20105289294896375, -0.019208847504417845,
               0.22026174045338157, 0.22916666666666666, -0.20833333333333334, -0.020833333333333332});
}

TEST(ReferenceLoss, BinaryCrossEntropy) {
  const std::vector<Operand> in = {operand({4, 1}, {-2, 0, 3, -800}), labels({0, 1, 1, 1})};
  const BinaryCrossEntropyForward plain = {4, 0, {}}, smoothed = {4, 0.25f, {}};
  expect_near(first_output(plain, in), {0.1269280110429727, 0.6931471805599453, 0.04858735157374206, 800});
  expect_near(first_output(smoothed, in), {0.3769280110429727, 0.6931471805599453, 0.42358735157374205, 700});
  expect_near(first_output(BinaryCrossEntropyBackward{plain, 4}, in), {0.029800730505529387, -0.125, -0.011856468294391659, -0.25});
  expect_near(first_output(BinaryCrossEntropyBackward{smoothed, 4}, in), {-0.0014492694944706133, -0.09375, 0.01939353170560834, -0.21875});
}

TEST(ReferenceLoss, ScoreSkipsIgnoredLabelsAndTakesTheFirstOfEquals) {
  const Operand x = operand({5, 3}, {1, 5, 5, 9, 2, 3, 0, 0, 0, 1, 2, 3, 7, 8, 9});
  const std::vector<Operand> in = {x, labels({1, 1, 0, 2, ignored_label}), operand({5}, {0.5, 0.25, 1, 2, 64})};
  const Metrics before = {.loss_sum = 10, .counted = 2, .correct = 1, .non_finite = 0};
  EXPECT_EQ(values_of(run_reference(Score{5, 3, {}}, in, {struct_operand(before)})[0]), (Values{13.75, 6, 4, 0}));
  const std::vector<Operand> binary = {operand({3, 1}, {0, 0.5, -1}), labels({0, 1, 1}), operand({3}, {1, 1, 1})};
  EXPECT_EQ(values_of(run_reference(Score{3, 1, {}}, binary)[0]), (Values{3, 3, 2, 0})) << "with one logit, 0 is no";
}

// Two steps on w = (1, -2, 0.5) with dw = (0.5, -1, 0), then (0.25, 2, -1), at a rate of 0.125.
Values two_steps(const UpdateRule& rule, float decay) {
  const Update op = {rule, {{.elements = 3, .decay = decay, .rate_scale = 0.5f}}, {}};
  std::vector<Operand> out = {operand({3}, {1, -2, 0.5})};
  for (int moment = 0; moment < moments_of(rule); ++moment) out.push_back(operand({3}, {0, 0, 0}));
  const std::vector<Values> dw = {{0.5, -1, 0}, {0.25, 2, -1}};
  for (uint32_t step = 0; step < 2; ++step)
    out = run_reference(
        op, {struct_operand(StepControl{.step = step, .learning_rate = 0.25f}), struct_operand(Metrics()), operand({3}, dw[step])}, out);
  return values_of(out[0]);
}

TEST(ReferenceUpdate, SgdAsPyTorch) {
  EXPECT_EQ(two_steps(Sgd{}, 0), (Values{0.90625, -2.125, 0.625}));
  EXPECT_EQ(two_steps(Sgd{0.5f}, 0.25f), (Values{0.7998046875, -1.912109375, 0.58642578125}));
  EXPECT_EQ(two_steps(Sgd{0.5f, Sgd::Nesterov::yes}, 0.25f), (Values{0.748779296875, -1.96630859375, 0.6378173828125}));
}

TEST(ReferenceUpdate, AdamAsPyTorch) {
  const Adam adam = {0.75f, 0.875f, 0x1p-10f};
  expect_near(two_steps(adam, 0), {0.7602662158173379, -1.9304610850878303, 0.5976769845940173});
  expect_near(two_steps(adam, 0.25f), {0.7558075692814082, -1.894199840569505, 0.46280749661852333});
}

TEST(ReferenceUpdate, ChangesNothingAfterALossThatIsNotFinite) {
  const Update op = {Sgd{0.5f}, {{.elements = 2}}, {}};
  const std::vector<Operand> before = {operand({2}, {1, 2}), operand({2}, {3, 4})};
  const std::vector<Operand> after = run_reference(
      op, {struct_operand(StepControl{.learning_rate = 1}), struct_operand(Metrics{.non_finite = 1}), operand({2}, {std::nan(""), 1})},
      before);
  EXPECT_EQ(values_of(after[0]), (Values{1, 2}));
  EXPECT_EQ(values_of(after[1]), (Values{3, 4}));
}

TEST(Reference, RefusesMixedTypesAndUnknownLayouts) {
  const std::unique_ptr<Backend> reference = open_backend("reference");
  const Types mixed = {DType::f32, DType::f64, DType::f32, DType::f64};
  EXPECT_THROW(make(*reference, LinearForward{{1, 1, 1}, mixed}, {}), Error);
  EXPECT_THROW(make(*reference, Reorder{{1, 1, 1, 1}, "nhwc", "nChw8c", DType::f32}, {}), Error);
  EXPECT_THROW(make(*reference, Reorder{{1, 1, 1, 1}, "nhwc", "nchw", DType::u8}, {}), Error);
}

}  // namespace
}  // namespace fovea::test
