// Which differences between the places of maxima are the work of rounding.
#include <gtest/gtest.h>

#include "fovea/study/places.h"

namespace fovea::study {
namespace {

std::vector<std::byte> places(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

class Places : public testing::Test {
 protected:
  // Two windows of 2 x 2 side by side.
  const PoolShape shape_{.n = 1, .h = 2, .w = 4, .c = 1, .window = {.r = 2, .s = 2, .stride_h = 2, .stride_w = 2}};
  const std::vector<float> x_ = {1, 1.01f, 5, 2, 0, 0, 5, 3};
};

TEST_F(Places, AgreeWhereTheValuesThereAreWithinTolerance) {
  std::vector<std::byte> b = places({0, 2});
  settle_ties(shape_, x_, std::vector<double>(8, 0.01), places({1, 0}), b);
  EXPECT_EQ(b, places({1, 0}));
}

TEST_F(Places, DifferWhereTheValuesAreFurtherApart) {
  std::vector<std::byte> b = places({0, 3});
  settle_ties(shape_, x_, std::vector<double>(8, 0.001), places({1, 0}), b);
  EXPECT_EQ(b, places({0, 3}));
}

TEST_F(Places, OutsideTheWindowStayWhatTheyAre) {
  std::vector<std::byte> b = places({4, 200});
  settle_ties(shape_, x_, std::vector<double>(8, 100.0), places({1, 0}), b);
  EXPECT_EQ(b, places({4, 200}));
}

}  // namespace
}  // namespace fovea::study
