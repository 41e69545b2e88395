// Every backend in every precision that it has, on random data against the reference in double, within the tolerances of
// study/tolerance.cpp.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "fovea/backend/registry.h"
#include "fovea/study/tolerance.h"
#include "tests/backend/case_runner.h"

namespace fovea::test {
namespace {

constexpr int random_shapes = 600;

const std::vector<study::OpCase>& all_cases() {
  static const std::vector<study::OpCase> cases = [] {
    std::vector<study::OpCase> list = study::op_cases();
    for (study::OpCase& random : study::random_cases(2024, random_shapes)) list.push_back(std::move(random));
    return list;
  }();
  return cases;
}

void expect_close(const study::OpCase& op_case, const CaseData& data, const std::vector<Operand>& got) {
  const std::vector<Operand> exact = exact_result(op_case.op, data);
  const bool needs_sums = study::tolerance_of(op_case.op).measure == study::Measure::absolute_sum;
  const std::vector<Operand> sums = needs_sums ? exact_result(op_case.op, without_signs(data)) : exact;
  for (size_t i = 0; i < got.size(); ++i) {
    const study::Tolerance tolerance = study::tolerance_of(op_case.op, i);
    const std::vector<double> values = values_of(got[i]), sum = values_of(sums[i]);
    std::vector<double> expected = values_of(exact[i]);
    if (tolerance.relative == 0) expected = rounded_to(got[i].type.dtype, expected);
    ASSERT_EQ(values.size(), expected.size());
    for (size_t j = 0; j < values.size(); ++j) {
      const double measure =
          std::max(needs_sums ? sum[j] : tolerance.floor + std::abs(expected[j]), study::smallest_normal(got[i].type.dtype));
      ASSERT_LE(std::abs(values[j] - expected[j]), tolerance.relative * measure)
          << "element " << j << " of output " << i << " is " << values[j] << ", exactly " << expected[j];
    }
  }
}

void expect_same_bits(const std::vector<Operand>& got, const std::vector<Operand>& expected, std::string_view when) {
  for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(got[i].bytes == expected[i].bytes) << "output " << i << " has other bits " << when;
}

class OperatorTest : public testing::TestWithParam<std::tuple<Computes, std::string>> {};

TEST_P(OperatorTest, StaysWithinTolerance) {
  const auto& [computes, operator_name] = GetParam();
  std::string absent_because;
  const std::unique_ptr<Backend> backend = open_or_say_why_not(computes.backend, absent_because);
  if (!backend) GTEST_SKIP() << absent_because;
  int count = 0;
  for (const study::OpCase& in_float : all_cases()) {
    if (name_of(in_float.op) != operator_name) continue;
    const study::OpCase op_case = study::in_precision(in_float, computes.precision);
    SCOPED_TRACE(op_case.name);
    CaseData data = make_data(op_case, Fill::uniform, 5);
    const std::vector<Operand> got = run_case(*backend, op_case.op, data, {.threads = 4});
    expect_close(op_case, data, got);
    if (make(*backend, op_case.op, {.threads = 4})->threads() > 1)
      expect_same_bits(run_case(*backend, op_case.op, data, {.threads = 1}), got, "on one thread");
    if (std::holds_alternative<MaxPoolForward>(op_case.op)) {
      data.out.pop_back();
      expect_same_bits(run_case(*backend, op_case.op, data, {.threads = 4}), got, "without argmax");
    }
    ++count;
  }
  EXPECT_GT(count, 0);
  RecordProperty("cases", count);
  std::cout << "[   counts ] " << count << " cases\n";
}

INSTANTIATE_TEST_SUITE_P(Backends, OperatorTest,
                         testing::Combine(testing::ValuesIn(all_computes()), testing::ValuesIn(operator_names(all_cases()))),
                         [](const auto& info) { return test_name(name_of(std::get<0>(info.param)) + "_" + std::get<1>(info.param)); });

// What is not finite must stay visible.
class NonFiniteTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    std::string absent_because;
    backend_ = open_or_say_why_not(GetParam(), absent_because);
    if (!backend_) GTEST_SKIP() << absent_because;
  }
  std::vector<double> run(const Op& op, std::vector<Operand> in) {
    CaseData data{std::move(in), {}};
    for (const graph::Type& type : graph::outputs_of(op)) data.out.push_back(make_operand(type));
    return values_of(run_case(*backend_, op, data)[0]);
  }
  std::unique_ptr<Backend> backend_;
  static constexpr float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
};

TEST_P(NonFiniteTest, LossOfEveryBadLogit) {
  for (const float smoothing : {0.0f, 0.1f})
    for (const float bad : {infinity, -infinity, nan})
      for (size_t place = 0; place < 3; ++place)
        for (const int32_t t : {0, 2}) {
          std::vector<float> x = {0.5f, -1.0f, 2.0f, 1.0f, 1.0f, 1.0f};
          x[place] = bad;
          const std::vector<double> loss =
              run(SoftmaxCrossEntropyForward{2, 3, smoothing, {}}, {operand_of<float>({2, 3}, x), operand_of<int32_t>({2}, {t, 1})});
          EXPECT_FALSE(std::isfinite(loss[0])) << "logit " << place << " is " << bad << ", target " << t << ", smoothing " << smoothing;
          EXPECT_TRUE(std::isfinite(loss[1]));
          const std::vector<double> binary = run(BinaryCrossEntropyForward{2, smoothing, {}},
                                                 {operand_of<float>({2, 1}, {bad, 1.0f}), operand_of<int32_t>({2}, {t / 2, 1})});
          EXPECT_FALSE(std::isfinite(binary[0])) << bad << ", target " << t / 2 << ", smoothing " << smoothing;
          EXPECT_TRUE(std::isfinite(binary[1]));
        }
}

TEST_P(NonFiniteTest, IgnoredLabelHidesThem) {
  const std::vector<Operand> in = {operand_of<float>({1, 3}, {nan, infinity, 1.0f}), operand_of<int32_t>({1}, {ignored_label})};
  EXPECT_EQ(run(SoftmaxCrossEntropyForward{1, 3, 0.1f, {}}, in), std::vector<double>{0});
  EXPECT_EQ(run(SoftmaxCrossEntropyBackward{{1, 3, 0.1f, {}}, 1}, in), std::vector<double>(3, 0.0));
  const std::vector<Operand> binary = {operand_of<float>({1, 1}, {nan}), operand_of<int32_t>({1}, {ignored_label})};
  EXPECT_EQ(run(BinaryCrossEntropyForward{1, 0.1f, {}}, binary), std::vector<double>{0});
  EXPECT_EQ(run(BinaryCrossEntropyBackward{{1, 0.1f, {}}, 1}, binary), std::vector<double>{0});
}

TEST_P(NonFiniteTest, ScoreCountsThem) {
  const std::vector<double> metrics =
      run(Score{4, 2, {}}, {operand_of<float>({4, 2}, {1, 0, 1, 0, 1, 0, 1, 0}), operand_of<int32_t>({4}, {0, 1, ignored_label, 0}),
                            operand_of<float>({4}, {nan, infinity, nan, 0.5f})});
  EXPECT_TRUE(std::isnan(metrics[0]));
  EXPECT_EQ(metrics[1], 3);
  EXPECT_EQ(metrics[2], 2);
  EXPECT_EQ(metrics[3], 2);
}

TEST_P(NonFiniteTest, NanPassesActivationsAndMaxPool) {
  for (const Activation activation : {Activation::relu, Activation::sigmoid, Activation::tanh})
    for (const double value : run(ActivationForward{activation, 19, {}}, {operand_of<float>({19}, std::vector<float>(19, nan))}))
      EXPECT_TRUE(std::isnan(value)) << name_of(activation);
  const PoolShape shape = {.n = 1, .h = 2, .w = 2, .c = 17, .window = {.r = 2, .s = 2}};
  for (size_t place = 0; place < 4; ++place) {
    std::vector<float> x(4 * 17, 3.0f);
    for (size_t c = 0; c < 17; ++c) x[place * 17 + c] = nan;
    CaseData data{{operand_of<float>(shape.x(), x)}, {make_operand({DType::f32, shape.y()}), make_operand({DType::u8, shape.y()})}};
    const std::vector<Operand> out = run_case(*backend_, MaxPoolForward{shape, {}}, data);
    for (const double value : values_of(out[0])) EXPECT_TRUE(std::isnan(value));
    EXPECT_EQ(values_of(out[1]), std::vector<double>(17, static_cast<double>(place)));
  }
}

TEST_P(NonFiniteTest, LargeArgumentsStayFinite) {
  const Operand x = operand_of<float>({4}, {-infinity, -200.0f, 200.0f, infinity});
  const std::vector<double> sigmoid = run(ActivationForward{Activation::sigmoid, 4, {}}, {x});
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(sigmoid[i], i < 2 ? 0 : 1, 1e-37);
  EXPECT_EQ(run(ActivationForward{Activation::tanh, 4, {}}, {x}), (std::vector<double>{-1, -1, 1, 1}));
  const std::vector<Operand> logits = {operand_of<float>({2, 3}, {1000, 0, -1000, 1000, 0, -1000}), operand_of<int32_t>({2}, {0, 2})};
  EXPECT_EQ(run(SoftmaxCrossEntropyForward{2, 3, 0, {}}, logits), (std::vector<double>{0, 2000}));
  EXPECT_EQ(run(SoftmaxCrossEntropyBackward{{2, 3, 0, {}}, 2}, logits), (std::vector<double>{0, 0, 0, 0.5, 0, -0.5}));
  const std::vector<Operand> binary = {operand_of<float>({3, 1}, {-200, 200, 200}), operand_of<int32_t>({3}, {1, 1, 0})};
  const std::vector<double> loss = run(BinaryCrossEntropyForward{3, 0, {}}, binary);
  EXPECT_NEAR(loss[1], 0, 1e-37);
  EXPECT_EQ(loss[0], 200);
  EXPECT_EQ(loss[2], 200);
}

TEST_P(NonFiniteTest, MaxPoolTakesMinusInfinityFromInsideTheImage) {
  const PoolShape shape = {.n = 1, .h = 2, .w = 2, .c = 1, .window = {.r = 2, .s = 2, .pad_top = 1, .pad_left = 1}};
  CaseData data{{operand_of<float>(shape.x(), std::vector<float>(4, -infinity))},
                {make_operand({DType::f32, shape.y()}), make_operand({DType::u8, shape.y()})}};
  const std::vector<Operand> out = run_case(*backend_, MaxPoolForward{shape, {}}, data);
  EXPECT_EQ(values_of(out[0]), std::vector<double>(4, -static_cast<double>(infinity)));
  EXPECT_EQ(values_of(out[1]), (std::vector<double>{3, 2, 1, 0}));  // the first place of each window that lies in the image
}

TEST_P(NonFiniteTest, UpdateChangesNothingAfterABadGradient) {
  const std::vector<UpdateRule> rules = {Sgd{0.5f}, Adam{}, AdamW{}, RmsProp{.momentum = 0.5f}};
  const std::vector<int64_t> elements = {3, 20000, 1};
  for (const UpdateRule& rule : rules)
    for (const float bad : {infinity, -infinity, nan})
      for (const auto& [tensor, place] : std::vector<std::pair<size_t, int64_t>>{{0, 2}, {1, 0}, {1, 9999}, {1, 19999}, {2, 0}}) {
        Update op = {.rule = rule, .parameters = {}, .types = {}, .ema_decay = 0.5f};
        for (const int64_t count : elements) op.parameters.push_back({.elements = count});
        op.running = {{.c = 2, .momentum = 0.5f, .unbias = {1}}};
        study::OpCase op_case;
        op_case.op = op;
        CaseData data = make_data(op_case, Fill::uniform, 7);
        std::vector<double> gradient = values_of(data.in[2 + tensor]);
        gradient[static_cast<size_t>(place)] = static_cast<double>(bad);
        set_values(data.in[2 + tensor], gradient);
        const std::vector<Operand> out = run_case(*backend_, op, data, {.threads = 4});
        for (size_t i = 0; i < out.size(); ++i)
          EXPECT_TRUE(out[i].bytes == data.out[i].bytes) << "output " << i << ", " << bad << " at " << place << " of tensor " << tensor;
      }
}

INSTANTIATE_TEST_SUITE_P(Backends, NonFiniteTest, testing::ValuesIn(backend_names()),
                         [](const auto& info) { return test_name(info.param); });

TEST(OpCases, AreManyAndHaveDifferentNames) {
  const std::vector<study::OpCase> table = study::op_cases();
  EXPECT_GE(table.size(), 150u);
  std::set<std::string> names;
  for (const study::OpCase& op_case : all_cases()) EXPECT_TRUE(names.insert(op_case.name).second) << op_case.name;
  EXPECT_EQ(operator_names(table).size(), std::variant_size_v<Op> - 1) << "every operator but flatten, which is never a step";
  std::cout << "[   counts ] " << table.size() << " cases in the table, " << all_cases().size() - table.size() << " random ones of "
            << random_shapes << " shapes\n";
}

}  // namespace
}  // namespace fovea::test
