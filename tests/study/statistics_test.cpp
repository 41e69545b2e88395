// Median and spread, on values whose answers are known.
#include "fovea/study/statistics.h"

#include <gtest/gtest.h>

#include <array>

#include "fovea/base/error.h"

namespace fovea::study {
namespace {

TEST(Spread, OfOddAndEvenNumbersOfValues) {
  const Spread odd = spread_of(std::array{5.0, 1.0, 3.0});
  EXPECT_EQ(odd.least, 1);
  EXPECT_EQ(odd.median, 3);
  EXPECT_DOUBLE_EQ(odd.p90, 4.6);
  EXPECT_EQ(odd.mad, 2);
  const Spread even = spread_of(std::array{4.0, 1.0, 2.0, 3.0});
  EXPECT_EQ(even.median, 2.5);
  EXPECT_EQ(even.mad, 1);
}

TEST(Spread, OneValueHasNone) {
  const Spread spread = spread_of(std::array{7.0});
  EXPECT_EQ(spread.least, 7);
  EXPECT_EQ(spread.median, 7);
  EXPECT_EQ(spread.p90, 7);
  EXPECT_EQ(spread.mad, 0);
}

TEST(Spread, ADisturbedValueMovesNeitherMedianNorMad) {
  const Spread spread = spread_of(std::array{10.0, 11.0, 12.0, 13.0, 1e9});
  EXPECT_EQ(spread.median, 12);
  EXPECT_EQ(spread.mad, 1);
}

TEST(Spread, OfNothingIsRefused) { EXPECT_THROW(spread_of({}), Error); }

}  // namespace
}  // namespace fovea::study
