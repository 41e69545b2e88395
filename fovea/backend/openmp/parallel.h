// Loops over tasks on threads that are kept, pinned and awake between the steps of a plan.
#pragma once

#include <cstdint>
#include <type_traits>

namespace fovea::openmp {

// A task and the number, below that of the threads, of who does it: for scratch memory of its own.
struct TaskFunction {
  const void* body;
  void (*call)(const void* body, int64_t task, int worker);
};
void run_tasks(int threads, int64_t tasks, TaskFunction function);

// Calls body(task) or body(task, worker) for each task of [0, tasks). Neighbouring tasks are done by the same thread, in order, unless
// another one has nothing left to do. Which thread does a task must not change what it computes. `body` does not throw.
template <class Body>
void parallel_for(int threads, int64_t tasks, const Body& body) {
  run_tasks(threads, tasks, {&body, [](const void* what, int64_t task, int worker) {
                               const Body& function = *static_cast<const Body*>(what);
                               if constexpr (std::is_invocable_v<const Body&, int64_t, int>)
                                 function(task, worker);
                               else
                                 function(task);
                             }});
}

// Calls body(begin, end) on ranges of [0, count) of `block` each, the last one shorter.
template <class Body>
void parallel_ranges(int threads, int64_t count, int64_t block, const Body& body) {
  parallel_for(threads, (count + block - 1) / block, [&](int64_t task) {
    const int64_t begin = task * block, end = begin + block < count ? begin + block : count;
    body(begin, end);
  });
}

}  // namespace fovea::openmp
