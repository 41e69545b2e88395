// The loops of the parent, shared out among threads.
#pragma once

#include <algorithm>

#include "fovea/backend/eigen/parts.h"
#include "fovea/backend/openmp/kernel.h"
#include "fovea/backend/openmp/parallel.h"

namespace fovea::openmp {

// Equal ranges of some units, as many as their work pays for: by shape alone, so that sums of the ranges do not depend on the threads.
struct Split {
  int64_t units = 1, block = 1;  // of a range

  int64_t ranges() const { return (units + block - 1) / block; }
  eigen::Range range(int64_t i) const { return {i * block, std::min(block, units - i * block)}; }
};
inline Split split_of(int64_t units, int64_t work, int64_t most_ranges) {
  const int64_t ranges = std::clamp<int64_t>(work / 8192, 1, std::min(most_ranges, std::max<int64_t>(units, 1)));
  const int64_t block = (std::max<int64_t>(units, 1) + ranges - 1) / ranges;
  return {std::max<int64_t>(units, 1), block < 1024 ? block : (block + 63) / 64 * 64};  // elements by whole lines of the cache
}

inline int64_t aligned(int64_t floats) { return (floats + 15) / 16 * 16; }

// eigen::run_part for ranges of all units; each thread has a workspace of its own.
template <class Op>
KernelPtr parts(const Op& op, const Limits& limits) {
  const eigen::Units units = eigen::units_of(op);
  const int64_t work = units.count * units.floats, workspace = aligned(units.workspace_floats);
  const Split split = split_of(units.count, work, 256);
  const auto function = [split, workspace](const Op& o, const Run& run) {
    parallel_for(run.threads, split.ranges(), [&](int64_t range, int worker) {
      eigen::run_part(o, split.range(range), run.buffers, run.workspace + worker * workspace);
    });
  };
  const int threads = static_cast<int>(std::min<int64_t>(threads_for(limits, work), split.ranges()));
  return kernel("loops", op, function, threads, threads * workspace);
}

}  // namespace fovea::openmp
