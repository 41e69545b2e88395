// Wall time in seconds.
#pragma once

#include <chrono>

namespace fovea {

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
  void restart() { start_ = Clock::now(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

// Since the kernel started this process, loading of libraries included; to about a hundredth of a second.
double seconds_since_process_start();

}  // namespace fovea
