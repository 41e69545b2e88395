// A team of threads that stays awake for a while between loops, then sleeps.
#include "fovea/backend/openmp/parallel.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "fovea/base/thread.h"

namespace fovea::openmp {
namespace {

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// What one thread of the team does. The words carry the number of the loop that they are about, so that nobody has to reset them.
struct alignas(128) Member {
  std::atomic<uint64_t> taken = 0;  // loop << 32 | tasks of this member's share that somebody has taken; of an earlier loop: none
  std::atomic<uint64_t> state = 0;  // loop << 2 | State
};
enum State : uint64_t { running = 1, done = 2, skipped = 3 };

thread_local bool is_inside = false;  // a loop within a task of another one is done by the thread that meets it

void run_alone(int64_t tasks, TaskFunction function) {
  for (int64_t task = 0; task < tasks; ++task) function.call(function.body, task, 0);
}

class Team {
 public:
  static Team& get() {
    static Team team;
    return team;
  }

  ~Team() {
    order_.store(stop);
    order_.notify_all();
    sharers_wanted_.store(std::numeric_limits<int>::max());
    sharers_wanted_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void run(int threads, int64_t tasks, TaskFunction function) {
    if (is_inside) return run_alone(tasks, function);
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock()) return run_alone(tasks, function);
    while (std::ssize(members_) < threads) hire();
    function_ = function;
    tasks_ = tasks;
    sharers_ = threads;
    if (sharers_wanted_.load() != threads) {
      sharers_wanted_.store(threads);
      sharers_wanted_.notify_all();
    }
    const uint64_t loop = ++loop_;
    order_.store(loop << 16 | static_cast<uint64_t>(threads));
    if (sleeping_.load() > 0) order_.notify_all();
    is_inside = true;
    work(0, loop);
    is_inside = false;
    for (int i = 1; i < threads; ++i) wait_for(*members_[static_cast<size_t>(i)], loop);
  }

 private:
  static constexpr uint64_t stop = ~uint64_t{0};

  Team() : cpus_(usable_cpus()) { members_.push_back(std::make_unique<Member>()); }

  // Spinning would only take time from the others where there are more threads than processors.
  void hire() {
    const size_t index = members_.size();
    Member& member = *members_.emplace_back(std::make_unique<Member>());
    spins_.store(index < cpus_.size() ? 20000 : 100);
    threads_.emplace_back([this, index, &member, seen = order_.load()] { serve(index, member, seen); });
  }

  void serve(size_t index, Member& member, uint64_t seen) {
    is_inside = true;
    if (index < cpus_.size()) pin_this_thread(cpus_[index]);
    while ((seen = next_order(index, seen)) != stop) {
      const uint64_t loop = seen >> 16;
      uint64_t before = member.state.load();  // of this loop or a later one: it is over, and its function is gone
      if (before >> 2 >= loop || !member.state.compare_exchange_strong(before, loop << 2 | running)) continue;
      work(static_cast<int>(index), loop);
      member.state.store(loop << 2 | done);
    }
  }

  // The next loop in which this member takes part, or stop. Loops of fewer threads do not keep it awake.
  uint64_t next_order(size_t index, uint64_t seen) {
    for (int spin = spins_.load(std::memory_order_relaxed);;) {
      const uint64_t order = order_.load(std::memory_order_acquire);
      if (order != seen && (order == stop || index < (order & 0xFFFF))) return order;
      seen = order;
      if (--spin > 0) {
        pause();
        continue;
      }
      if (const int wanted = sharers_wanted_.load(); static_cast<int>(index) >= wanted) {
        sharers_wanted_.wait(wanted);
      } else {
        sleeping_.fetch_add(1);
        order_.wait(seen);
        sleeping_.fetch_sub(1);
      }
    }
  }

  // The own share first, then what the others have left.
  void work(int index, uint64_t loop) {
    for (int i = 0; i < sharers_; ++i) {
      const int whose = (index + i) % sharers_;
      const int64_t begin = tasks_ * whose / sharers_, count = tasks_ * (whose + 1) / sharers_ - begin;
      std::atomic<uint64_t>& taken = members_[static_cast<size_t>(whose)]->taken;
      for (int64_t task; (task = take(taken, loop, count)) >= 0;) function_.call(function_.body, begin + task, index);
    }
  }

  // The next task of a share, -1 if none is left.
  static int64_t take(std::atomic<uint64_t>& taken, uint64_t loop, int64_t count) {
    const uint64_t none = loop << 32;
    uint64_t before = taken.load(std::memory_order_relaxed);
    for (;;) {
      const uint64_t present = before >> 32 == none >> 32 ? before : none;
      const int64_t task = static_cast<int64_t>(present & 0xFFFFFFFF);
      if (task >= count) return -1;
      if (taken.compare_exchange_weak(before, present + 1, std::memory_order_relaxed)) return task;
    }
  }

  // One that has not begun, because the system gave it no time yet, is not waited for: its share is done.
  static void wait_for(Member& member, uint64_t loop) {
    for (;;) {
      uint64_t state = member.state.load();
      if (state == (loop << 2 | done)) return;
      if (state != (loop << 2 | running) && member.state.compare_exchange_strong(state, loop << 2 | skipped)) return;
      pause();
    }
  }

  const std::vector<int> cpus_;
  std::mutex mutex_;  // held by who runs a loop
  std::vector<std::unique_ptr<Member>> members_;
  std::vector<std::thread> threads_;
  TaskFunction function_ = {};
  int64_t tasks_ = 0;
  int sharers_ = 1;
  uint64_t loop_ = 0;
  std::atomic<int> spins_ = 0, sharers_wanted_ = 0;  // the latter: of the present loop or the next one
  alignas(128) std::atomic<uint64_t> order_ = 0;     // loop << 16 | members that take part
  alignas(128) std::atomic<int> sleeping_ = 0;
};

}  // namespace

void run_tasks(int threads, int64_t tasks, TaskFunction function) {
  const int64_t useful = std::min<int64_t>(threads, tasks);
  if (useful > 1) return Team::get().run(static_cast<int>(useful), tasks, function);
  run_alone(tasks, function);
}

}  // namespace fovea::openmp
