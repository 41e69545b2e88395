// The team of threads: every task once, on as many threads as asked for, inside another loop too, and from several threads at once.
#include "fovea/backend/openmp/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <set>
#include <thread>
#include <vector>

namespace fovea::openmp {
namespace {

TEST(Parallel, EachTaskIsDoneOnceForAnyNumberOfThreadsAndTasks) {
  for (int round = 0; round < 50; ++round)
    for (const int threads : {1, 2, 3, 7, 16})
      for (const int64_t tasks : {0, 1, 2, 15, 16, 17, 100}) {
        std::vector<int> count(static_cast<size_t>(tasks));
        std::atomic<bool> in_range = true;
        parallel_for(threads, tasks, [&](int64_t task, int worker) {
          ++count[static_cast<size_t>(task)];
          if (worker < 0 || worker >= threads) in_range = false;
        });
        EXPECT_EQ(count, std::vector<int>(static_cast<size_t>(tasks), 1)) << threads << " threads";
        EXPECT_TRUE(in_range) << threads << " threads, " << tasks << " tasks";
      }
}

// Each task waits until all are begun: it takes as many threads.
TEST(Parallel, TasksRunAtTheSameTime) {
  for (const int threads : {2, 5}) {
    std::atomic<int> begun = 0, workers = 0;
    parallel_for(threads, threads, [&](int64_t, int worker) {
      ++begun;
      while (begun < threads) std::this_thread::yield();
      workers += 1 << worker;
    });
    EXPECT_EQ(workers, (1 << threads) - 1);
  }
}

TEST(Parallel, SleepersWakeUp) {
  for (int round = 0; round < 3; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    std::atomic<int> begun = 0;
    parallel_for(3, 3, [&](int64_t) {
      ++begun;
      while (begun < 3) std::this_thread::yield();
    });
    EXPECT_EQ(begun, 3);
  }
}

// Loops of fewer threads let the others fall asleep.
TEST(Parallel, WhoHadNoPartWakesUp) {
  constexpr int all = 5;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 30; ++i) {
      parallel_for(2, 2, [](int64_t) {});
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::atomic<int> begun = 0;
    parallel_for(all, all, [&](int64_t) {
      ++begun;
      while (begun < all) std::this_thread::yield();
    });
    EXPECT_EQ(begun, all);
  }
}

TEST(Parallel, LoopsInsideLoopsAndFromOtherThreads) {
  const auto sum_of_squares = [] {
    std::atomic<int64_t> sum = 0;
    for (int round = 0; round < 20; ++round) parallel_for(4, 10, [&](int64_t i) { parallel_for(3, 10, [&](int64_t j) { sum += i * j; }); });
    return sum.load();
  };
  std::vector<int64_t> sums(3);
  std::vector<std::thread> callers;
  for (int64_t& sum : sums) callers.emplace_back([&] { sum = sum_of_squares(); });
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(sums, std::vector<int64_t>(3, 20 * 45 * 45));
}

TEST(Parallel, RangesCoverAllOnce) {
  std::vector<int> count(103);
  parallel_ranges(3, 103, 10, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) ++count[static_cast<size_t>(i)];
  });
  EXPECT_EQ(count, std::vector<int>(103, 1));
}

}  // namespace
}  // namespace fovea::openmp
