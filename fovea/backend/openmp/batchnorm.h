// Batch norm in two passes over ranges of rows on all threads.
#pragma once

#include "fovea/backend/eigen/batchnorm_rows.h"
#include "fovea/backend/openmp/parts.h"

namespace fovea::openmp {

// Of some rows of c floats. The factors lie in front of the sums of the ranges.
struct BatchNormSplit {
  Split split;
  int64_t c = 1;

  BatchNormSplit(int64_t rows, int64_t columns)
      : split(split_of(rows, rows * columns, std::min<int64_t>(128, (rows + 31) / 32))), c(columns) {}
  int64_t workspace_floats() const { return eigen::factors_floats(c) + split.ranges() * eigen::sums_floats(c); }
};

// `of` is a BatchNormRun or a BatchNormGradient.
template <class Passes>
void run_passes(const Passes& of, const BatchNormSplit& by, const Run& run) {
  float* factors = run.workspace;
  float* sums = factors + eigen::factors_floats(by.c);
  eigen::prepare(of, factors);
  parallel_for(run.threads, by.split.ranges(),
               [&](int64_t range) { eigen::sum_rows(of, by.split.range(range), factors, sums + range * eigen::sums_floats(by.c)); });
  eigen::finish(of, {sums, by.split.ranges()}, factors);
  parallel_for(run.threads, by.split.ranges(), [&](int64_t range) { eigen::store_rows(of, by.split.range(range), factors); });
}

}  // namespace fovea::openmp
