// The loop over all cores.
#include "fovea/base/thread.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

namespace fovea {
namespace {

TEST(ParallelFor, TakesEveryIndexOnce) {
  for (const int64_t n : {0, 1, 2, 7, 1000})
    for (const int threads : {-1, 0, 1, 3, 8, 64}) {
      std::vector<std::atomic<int>> taken(static_cast<size_t>(n));
      parallel_for(n, threads, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) ++taken[static_cast<size_t>(i)];
      });
      EXPECT_TRUE(std::all_of(taken.begin(), taken.end(), [](int count) { return count == 1; })) << n << " on " << threads;
    }
}

TEST(ParallelFor, ThrowsWhatAnyThreadThrewOnceAllAreDone) {
  std::atomic<int> ranges = 0;
  const auto body = [&](int64_t begin, int64_t) {
    ++ranges;
    if (begin > 0) throw std::runtime_error("from a thread");
  };
  EXPECT_THROW(parallel_for(4, 4, body), std::runtime_error);
  EXPECT_EQ(ranges, 4);
}

TEST(UsableThreads, IsAtLeastOne) { EXPECT_GE(usable_threads(), 1); }

TEST(UsableCpus, AreAllDifferentWithTheCoresFirst) {
  std::vector<int> cpus = usable_cpus();
  EXPECT_EQ(std::ssize(cpus), usable_threads());
  EXPECT_GE(usable_cores(), 1);
  EXPECT_LE(usable_cores(), usable_threads());
  std::sort(cpus.begin(), cpus.end());
  EXPECT_EQ(std::adjacent_find(cpus.begin(), cpus.end()), cpus.end());
}

TEST(PinThisThread, LeavesItOneProcessor) {
  const std::vector<int> cpus = usable_cpus();
  std::vector<int> left;
  std::thread([&] {
    pin_this_thread(cpus.back());
    left = usable_cpus();
  }).join();
  EXPECT_EQ(left, std::vector<int>{cpus.back()});
  EXPECT_EQ(usable_cpus(), cpus);
}

}  // namespace
}  // namespace fovea
