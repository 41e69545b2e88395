// Intervals and verdicts: on values whose answers are known, and how often they are wrong on noise as a shared machine has it.
#include "fovea/study/bootstrap.h"

#include <gtest/gtest.h>

#include <cmath>

#include "fovea/base/philox.h"

namespace fovea::study {
namespace {

// Log ratios of pairs of turns: noise that lasts from round to round, and now and then a turn that another program held up.
std::vector<double> noisy_pairs(uint32_t experiment, size_t rounds, double true_ratio, double deviation) {
  std::vector<double> logs;
  double before = 0;
  for (uint32_t i = 0; i < rounds; ++i) {
    const Random4 random = philox(11, Draw::test, experiment, i, 0);
    const double a = to_unit(random.v[0]) + 1e-7, b = to_unit(random.v[1]);
    const double normal = std::sqrt(-2 * std::log(a)) * std::cos(2 * 3.14159265358979 * b);
    before = 0.3 * before + deviation * std::sqrt(1 - 0.09) * normal;
    const double held_up = to_unit(random.v[2]) < 0.1 ? (to_unit(random.v[3]) < 0.5 ? 0.4 : -0.4) : 0;
    logs.push_back(std::log(true_ratio) + before + held_up);
  }
  return logs;
}

int called_different(int experiments, size_t rounds, double true_ratio, double deviation) {
  int different = 0;
  for (int i = 0; i < experiments; ++i)
    different +=
        ratio_of_pairs(noisy_pairs(static_cast<uint32_t>(i), rounds, true_ratio, deviation)).verdict != Verdict::no_significant_difference;
  return different;
}

TEST(Bootstrap, ExactRatiosHaveTheIntervalOfPlacementAlone) {
  const std::vector<double> logs(10, std::log(2.0));
  const Ratio ratio = ratio_of_pairs(logs);
  EXPECT_DOUBLE_EQ(ratio.ratio, 2);
  EXPECT_NEAR(ratio.interval->low, 2 / 1.01, 1e-12);
  EXPECT_NEAR(ratio.interval->high, 2 * 1.01, 1e-12);
  EXPECT_EQ(ratio.verdict, Verdict::faster);
  EXPECT_EQ(ratio_of_pairs(std::vector<double>(10, std::log(0.9))).verdict, Verdict::slower);
  EXPECT_EQ(ratio_of_pairs(std::vector<double>(10, std::log(1.005))).verdict, Verdict::no_significant_difference);
}

TEST(Bootstrap, SixValuesSpanTheirWholeRangeAndFiveNone) {
  const std::vector<double> values = {3, 1, 6, 2, 5, 4};
  EXPECT_EQ(median_interval(values)->low, 1);
  EXPECT_EQ(median_interval(values)->high, 6);
  EXPECT_FALSE(median_interval(std::span(values).first(5)));
  const Ratio few = ratio_of_pairs(std::span(values).first(5));
  EXPECT_FALSE(few.interval);
  EXPECT_EQ(few.verdict, Verdict::no_significant_difference);
}

// The ends of the interval of a median without a bootstrap: 18th of 50 from either end (tables of the binomial distribution).
TEST(Bootstrap, IsNeverNarrowerThanOrderStatistics) {
  std::vector<double> values;
  for (int i = 1; i <= 50; ++i) values.push_back(i);
  EXPECT_LE(median_interval(values)->low, 18);
  EXPECT_GE(median_interval(values)->high, 33);
}

TEST(Bootstrap, TheSameValuesGiveTheSameInterval) {
  const std::vector<double> logs = noisy_pairs(1, 30, 1, 0.1);
  EXPECT_EQ(median_interval(logs)->low, median_interval(logs)->low);
  EXPECT_NE(median_interval(logs)->low, median_interval(noisy_pairs(2, 30, 1, 0.1))->low);
}

TEST(Bootstrap, EqualSpeedsAreSeldomCalledDifferent) {
  for (const size_t rounds : {size_t{6}, size_t{20}, size_t{60}}) EXPECT_LE(called_different(200, rounds, 1, 0.05), 10) << rounds;
}

TEST(Bootstrap, FivePercentAreSeen) {
  EXPECT_GE(called_different(100, 60, 1 / 1.05, 0.05), 95);
  EXPECT_GE(called_different(100, 200, 1.05, 0.10), 90);
}

TEST(Bootstrap, SpeedsThatWereNotMeasuredSideBySide) {
  std::vector<double> slow, fast;
  for (int i = 0; i < 20; ++i) {
    slow.push_back(100 + i % 5);
    fast.push_back(200 + i % 5);
  }
  const Ratio ratio = ratio_of_medians(fast, slow);
  EXPECT_NEAR(ratio.ratio, 202.0 / 102, 1e-12);
  EXPECT_LT(ratio.interval->low, ratio.ratio);
  EXPECT_GT(ratio.interval->high, ratio.ratio);
  EXPECT_EQ(ratio.verdict, Verdict::faster);
  EXPECT_EQ(ratio_of_medians(slow, slow).verdict, Verdict::no_significant_difference);
  EXPECT_EQ(ratio_of_medians({}, slow).pairs, 0u);
}

}  // namespace
}  // namespace fovea::study
