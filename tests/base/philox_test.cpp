// The random numbers that every backend shares.
#include "fovea/base/philox.h"

#include <gtest/gtest.h>

#include <vector>

namespace fovea {
namespace {

std::vector<uint32_t> words(const Random4& random) { return {random.v, random.v + 4}; }

// The known answers that come with Random123 (Salmon et al., SC 2011).
TEST(Philox, GivesTheKnownAnswers) {
  EXPECT_EQ(words(philox(0, 0u, 0, 0, 0)), (std::vector<uint32_t>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(words(philox(~uint64_t{0}, ~0u, ~0u, ~0u, ~0u)), (std::vector<uint32_t>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(words(philox(0x299f31d0a4093822, 0x243f6a88u, 0x85a308d3, 0x13198a2e, 0x03707344)),  // digits of pi
            (std::vector<uint32_t>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, UnitsAndWholeNumbersStayInRange) {
  EXPECT_EQ(to_unit(0), 0.0f);
  EXPECT_LT(to_unit(~0u), 1.0f);
  EXPECT_EQ(to_below(~0u, 7), 6u);
  EXPECT_EQ(to_below(0, 7), 0u);
  EXPECT_EQ(to_below(0x80000000u, 2), 1u);
}

TEST(ShuffledIndex, IsABijection) {
  for (uint64_t n = 1; n <= 2000; ++n) {
    std::vector<int> seen(n, 0);
    for (uint64_t i = 0; i < n; ++i) {
      const uint64_t to = shuffled_index(i, n, n * 77, static_cast<uint32_t>(n % 5));
      ASSERT_LT(to, n);
      ASSERT_EQ(seen[to]++, 0) << "n = " << n << ", place " << to << " is taken twice";
    }
  }
}

TEST(ShuffledIndex, DependsOnSeedAndEpochAndMovesAlmostEverything) {
  const uint64_t n = 50000;
  int fixed = 0, same_as_other_epoch = 0, same_as_other_seed = 0;
  for (uint64_t i = 0; i < n; ++i) {
    const uint64_t to = shuffled_index(i, n, 1, 0);
    fixed += to == i;
    same_as_other_epoch += to == shuffled_index(i, n, 1, 1);
    same_as_other_seed += to == shuffled_index(i, n, 2, 0);
  }
  EXPECT_LT(fixed, 12);  // a random permutation has 1 on average; 12 or more has probability 1e-9
  EXPECT_LT(same_as_other_epoch, 12);
  EXPECT_LT(same_as_other_seed, 12);
}

}  // namespace
}  // namespace fovea
