// Every backend in every precision that it has, on small whole numbers against the reference in double, rounded once: threshold 0 for the
// cases marked exact.
#include <gtest/gtest.h>

#include "fovea/backend/registry.h"
#include "fovea/study/tolerance.h"
#include "tests/backend/case_runner.h"

namespace fovea::test {
namespace {

// Sums below 2^22 leave two bits of a float for partial sums in any order, and for halves and quarters.
void expect_small_sums(const study::OpCase& op_case, const CaseData& data) {
  if (study::tolerance_of(op_case.op).measure != study::Measure::absolute_sum) return;
  for (const Operand& operand : exact_result(op_case.op, without_signs(data)))
    for (const double value : values_of(operand)) ASSERT_LT(value, 0x1p22);
}

void expect_same_numbers(const std::vector<Operand>& got, const std::vector<Operand>& exact) {
  for (size_t i = 0; i < got.size(); ++i) {
    const std::vector<double> values = values_of(got[i]), expected = rounded_to(got[i].type.dtype, values_of(exact[i]));
    ASSERT_EQ(values.size(), expected.size());
    for (size_t j = 0; j < values.size(); ++j) ASSERT_EQ(values[j], expected[j]) << "element " << j << " of output " << i;
  }
}

class ExactnessTest : public testing::TestWithParam<std::tuple<Computes, std::string>> {};

TEST_P(ExactnessTest, GivesTheSameNumbersAsTheReference) {
  const auto& [computes, operator_name] = GetParam();
  std::string absent_because;
  const std::unique_ptr<Backend> backend = open_or_say_why_not(computes.backend, absent_because);
  if (!backend) GTEST_SKIP() << absent_because;
  int count = 0;
  for (const study::OpCase& in_float : study::op_cases()) {
    if (in_float.exactness == study::Exactness::no || name_of(in_float.op) != operator_name) continue;
    const study::OpCase op_case = study::in_precision(in_float, computes.precision);
    SCOPED_TRACE(op_case.name);
    const CaseData data = make_data(op_case, Fill::small_integer, 17);
    expect_small_sums(op_case, data);
    expect_same_numbers(run_case(*backend, op_case.op, data, {.threads = 3}), exact_result(op_case.op, data));
    if (HasFatalFailure()) FAIL() << op_case.name << " by " << make(*backend, op_case.op, {.threads = 3})->algorithm();
    ++count;
  }
  EXPECT_GT(count, 0);
  RecordProperty("cases", count);
  std::cout << "[   counts ] " << count << " cases\n";
}

std::vector<std::string> exact_operators() {
  std::vector<study::OpCase> cases = study::op_cases();
  std::erase_if(cases, [](const study::OpCase& op_case) { return op_case.exactness == study::Exactness::no; });
  return operator_names(cases);
}

INSTANTIATE_TEST_SUITE_P(Backends, ExactnessTest, testing::Combine(testing::ValuesIn(all_computes()), testing::ValuesIn(exact_operators())),
                         [](const auto& info) { return test_name(name_of(std::get<0>(info.param)) + "_" + std::get<1>(info.param)); });

}  // namespace
}  // namespace fovea::test
