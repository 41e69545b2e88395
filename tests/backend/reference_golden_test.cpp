// The reference in double against what PyTorch computes, operator by operator: tests/golden/operators.json.
#include <gtest/gtest.h>

#include <cmath>

#include "fovea/backend/registry.h"
#include "tests/golden/operators.h"

namespace fovea::test {
namespace {

void expect_near(const std::vector<double>& got, const std::vector<double>& expected, double relative) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], expected[i], relative * std::max(1.0, std::abs(expected[i]))) << "element " << i;
}

class ReferenceGolden : public testing::TestWithParam<std::string> {};

TEST_P(ReferenceGolden, AgreesWithPyTorch) {
  const std::unique_ptr<Backend> reference = open_backend("reference");
  int count = 0;
  for (const golden::Check& check : golden::read_checks()) {
    if (check.family != GetParam()) continue;
    SCOPED_TRACE(check.name);
    const std::vector<Operand> got = run_case(*reference, check.op, check.data);
    ASSERT_EQ(got.size(), check.expected.size());
    for (size_t i = 0; i < got.size(); ++i) expect_near(values_of(got[i]), check.expected[i], 1e-13);
    ++count;
  }
  EXPECT_GT(count, 0);
  std::cout << "[   counts ] " << count << " operators\n";
}

INSTANTIATE_TEST_SUITE_P(Families, ReferenceGolden,
                         testing::Values("conv2d", "avg_pool", "max_pool", "batch_norm", "activation", "weighted_loss", "update"),
                         [](const auto& info) { return info.param; });

// The weight of a label multiplies the loss of an image, and the mean divides by the batch, as Keras has it. PyTorch's weighted mean
// divides by the sum of the weights instead: with the same weights its loss and all gradients are larger by batch / sum of weights.
TEST(ReferenceClassWeights, AreNotDividedOutOfTheMean) {
  const std::vector<golden::WeightedMean> means = golden::read_weighted_means();
  ASSERT_FALSE(means.empty());
  for (const golden::WeightedMean& mean : means) {
    SCOPED_TRACE(mean.golden_case);
    const std::vector<golden::Check> checks = golden::checks_of(mean.golden_case);
    const std::vector<double> losses = values_of(run_case(*open_backend("reference"), checks[0].op, checks[0].data)[0]);
    double sum = 0;
    for (const double loss : losses) sum += loss;
    EXPECT_NEAR(sum / static_cast<double>(losses.size()), mean.by_batch, 1e-13);
    EXPECT_GT(std::abs(mean.by_batch - mean.by_weights), 0.01);
  }
}

}  // namespace
}  // namespace fovea::test
