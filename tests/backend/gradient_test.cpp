// Every gradient of the reference, in double, against the central difference of <r, y> along a random direction v.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "fovea/backend/registry.h"
#include "fovea/base/philox.h"
#include "tests/backend/case_runner.h"

namespace fovea::test {
namespace {

struct Source {
  enum class From { input, output, dy } from;
  size_t index = 0;
};
constexpr Source dy = {Source::From::dy};
constexpr Source input(size_t index) { return {Source::From::input, index}; }
constexpr Source output(size_t index) { return {Source::From::output, index}; }

// The operator that gives the gradient by one input of a forward operator, and what it reads.
struct Gradient {
  Op op;
  size_t by;
  std::vector<Source> reads;
  size_t writes = 0;  // which of its outputs
};

struct Gradients {
  using List = std::vector<Gradient>;
  List operator()(const Conv2dForward& o) const {
    return {{Conv2dBackwardData{o.shape, Into::overwrite, o.types}, 0, {dy, input(1)}},
            {Conv2dBackwardFilter{o.shape, Into::overwrite, o.types}, 1, {input(0), dy}}};
  }
  List operator()(const LinearForward& o) const {
    return {{LinearBackwardData{o.shape, Into::overwrite, o.types}, 0, {dy, input(1)}},
            {LinearBackwardFilter{o.shape, Into::overwrite, o.types}, 1, {input(0), dy}}};
  }
  List operator()(const BiasForward& o) const { return {{BiasBackward{o.rows, o.k, Into::overwrite, o.types}, 1, {dy}}}; }
  List operator()(const MaxPoolForward& o) const { return {{MaxPoolBackward{o.shape, Into::overwrite, o.types}, 0, {dy, output(1)}}}; }
  List operator()(const AvgPoolForward& o) const {
    return {{AvgPoolBackward{o.shape, o.count_padding, Into::overwrite, o.types}, 0, {dy}}};
  }
  List operator()(const ActivationForward& o) const {
    const Source saved = gradient_reads_input(o.activation) ? input(0) : output(0);
    return {{ActivationBackward{o.activation, o.elements, Into::overwrite, o.types, o.slope}, 0, {saved, dy}}};
  }
  List operator()(const BatchNormForward& o) const {
    const BatchNormBackward backward = {.rows = o.rows, .c = o.c, .epsilon = o.epsilon, .types = o.types};
    const std::vector<Source> reads = {input(0), dy, input(1), output(1), output(2)};
    return {{backward, 0, reads, 0}, {backward, 1, reads, 1}, {backward, 2, reads, 2}};
  }
  List operator()(const ConcatForward& o) const {
    List list;
    for (size_t i = 0; i < o.channels.size(); ++i) list.push_back({ConcatBackward{o, static_cast<int>(i), Into::overwrite}, i, {dy}});
    return list;
  }
  List operator()(const ShortcutForward& o) const { return {{ShortcutBackward{o.shape, Into::overwrite, o.types}, 0, {dy}}}; }
  List operator()(const DropoutForward& o) const { return {{DropoutBackward{o, Into::overwrite}, 0, {dy, input(1)}}}; }
  List operator()(const SoftmaxCrossEntropyForward& o) const {
    return {{SoftmaxCrossEntropyBackward{o, divisor}, 0, {input(0), input(1)}}};
  }
  List operator()(const BinaryCrossEntropyForward& o) const { return {{BinaryCrossEntropyBackward{o, divisor}, 0, {input(0), input(1)}}}; }
  List operator()(const auto&) const { return {}; }

  static constexpr int64_t divisor = 7;
};

bool is_loss(const Op& op) {
  return std::holds_alternative<SoftmaxCrossEntropyForward>(op) || std::holds_alternative<BinaryCrossEntropyForward>(op);
}

bool has_kinks(const Op& op) {
  const ActivationForward* activation = std::get_if<ActivationForward>(&op);
  return std::holds_alternative<MaxPoolForward>(op) ||
         (activation != nullptr && (activation->activation == Activation::relu || activation->activation == Activation::leaky_relu));
}

std::vector<double> random_values(size_t count, uint64_t seed) {
  std::vector<double> values(count);
  for (size_t i = 0; i < count; ++i)
    values[i] = 2.0 * static_cast<double>(to_unit(philox(seed, Draw::test, static_cast<uint32_t>(i), 2, 0).v[0])) - 1;
  return values;
}

// Different values, in random order, none within 0.005 of another or of zero.
std::vector<double> spaced_values(size_t count, uint64_t seed) {
  std::vector<double> values(count);
  for (size_t i = 0; i < count; ++i)
    values[i] = 0.01 * (static_cast<double>(shuffled_index(i, count, seed, 0)) - static_cast<double>(count / 2) + 0.5);
  return values;
}

class Check {
 public:
  explicit Check(const study::OpCase& forward)
      : op_(study::with_types(forward.op, all_double)),
        data_(in_double(make_data(forward, Fill::uniform, 1))),
        reference_(open_backend("reference")) {
    if (has_kinks(op_)) set_values(data_.in[0], spaced_values(values_of(data_.in[0]).size(), 2));
    outputs_ = run_case(*reference_, op_, data_);
    const size_t count = values_of(outputs_[0]).size();
    r_ = is_loss(op_) ? std::vector<double>(count, 1.0 / Gradients::divisor) : random_values(count, 3);
  }

  void operator()(const Gradient& gradient) {
    const std::vector<double> dx = analytic(gradient), v = random_values(dx.size(), 4);
    const double expected = along(gradient.by, v);
    double got = 0, typical = 0;  // typical: what the sum would be with terms of random sign
    for (size_t i = 0; i < dx.size(); ++i) {
      got += dx[i] * v[i];
      typical += dx[i] * v[i] * dx[i] * v[i];
    }
    EXPECT_LE(std::abs(got - expected), 1e-7 * std::max(std::abs(expected), std::sqrt(typical)))
        << name_of(gradient.op) << " gives " << got << ", the difference quotient is " << expected;
  }

 private:
  std::vector<double> analytic(const Gradient& gradient) {
    Operand dy_operand = outputs_[0];
    set_values(dy_operand, r_);
    CaseData data;
    for (const Source& source : gradient.reads) {
      if (source.from == Source::From::input) data.in.push_back(data_.in[source.index]);
      if (source.from == Source::From::output) data.in.push_back(outputs_[source.index]);
      if (source.from == Source::From::dy) data.in.push_back(dy_operand);
    }
    for (const graph::Type& type : graph::outputs_of(gradient.op)) data.out.push_back(make_operand(type));
    return values_of(run_case(*reference_, gradient.op, data)[gradient.writes]);
  }

  // (<r, y(x + h v)> - <r, y(x - h v)>) / 2h
  double along(size_t by, const std::vector<double>& v) {
    constexpr double h = 1e-4;
    const std::vector<double> ahead = moved(by, v, h), behind = moved(by, v, -h);
    double sum = 0;
    for (size_t i = 0; i < r_.size(); ++i) sum += r_[i] * (ahead[i] - behind[i]);
    return sum / (2 * h);
  }

  std::vector<double> moved(size_t by, const std::vector<double>& v, double h) {
    CaseData data = data_;
    std::vector<double> x = values_of(data.in[by]);
    for (size_t i = 0; i < x.size(); ++i) x[i] += h * v[i];
    set_values(data.in[by], x);
    return values_of(run_case(*reference_, op_, data)[0]);
  }

  Op op_;
  CaseData data_;
  std::unique_ptr<Backend> reference_;
  std::vector<Operand> outputs_;
  std::vector<double> r_;
};

class GradientTest : public testing::TestWithParam<std::string> {};

TEST_P(GradientTest, AgreesWithDifferenceQuotient) {
  int gradients = 0;
  for (const study::OpCase& forward : study::op_cases()) {
    if (name_of(forward.op) != GetParam()) continue;
    SCOPED_TRACE(forward.name);
    Check check(forward);
    for (const Gradient& gradient : std::visit(Gradients(), study::with_types(forward.op, all_double))) {
      check(gradient);
      ++gradients;
    }
  }
  EXPECT_GT(gradients, 0);
  RecordProperty("gradients", gradients);
  std::cout << "[   counts ] " << gradients << " gradients\n";
}

std::vector<std::string> differentiable_operators() {
  std::vector<std::string> names;
  for (const study::OpCase& op_case : study::op_cases())
    if (!std::visit(Gradients(), op_case.op).empty() && (names.empty() || names.back() != name_of(op_case.op)) &&
        std::find(names.begin(), names.end(), name_of(op_case.op)) == names.end())
      names.emplace_back(name_of(op_case.op));
  return names;
}

INSTANTIATE_TEST_SUITE_P(Reference, GradientTest, testing::ValuesIn(differentiable_operators()),
                         [](const auto& info) { return test_name(info.param); });

// No gradient operator of the table goes unchecked.
TEST(GradientTable, CoversEveryGradientOperator) {
  std::vector<std::string_view> covered;
  for (const study::OpCase& op_case : study::op_cases())
    for (const Gradient& gradient : std::visit(Gradients(), op_case.op)) covered.push_back(name_of(gradient.op));
  for (const std::string& name : operator_names(study::op_cases())) {
    const bool gradient = name.find("_backward") != std::string::npos;
    EXPECT_EQ(std::find(covered.begin(), covered.end(), name) != covered.end(), gradient) << name;
  }
}

}  // namespace
}  // namespace fovea::test
