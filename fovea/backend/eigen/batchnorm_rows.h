// Batch norm in two passes over ranges of rows: sums of each range, then, with what the sums of all ranges give, the results.
// With an addition and a rectifier behind it where a fused step wants them.
#pragma once

#include "fovea/backend/eigen/direct.h"
#include "fovea/backend/eigen/parts.h"

namespace fovea::eigen {

struct BatchNormRows {
  int64_t rows = 1, c = 1;
  float epsilon = 1e-5f;
};

// Floats of one range's sums, and of what all ranges read: the factors of each channel. Both aligned to 64 bytes.
int64_t sums_floats(int64_t c);
int64_t factors_floats(int64_t c);

// The sums of all ranges, each sums_floats behind the one before.
struct RangeSums {
  float* first = nullptr;
  int64_t ranges = 1;
};

// prepare, sum_rows of every range, finish, store_rows of every range.
// y = rectified (scale (x - mean) / sqrt(variance + epsilon) + shift + other)
struct BatchNormRun {
  BatchNormRows shape;
  const float* x = nullptr;
  const float *scale = nullptr, *shift = nullptr;
  const float* other = nullptr;  // (rows, c); may be absent
  Rectify rectify = Rectify::no;
  float *y = nullptr, *mean = nullptr, *variance = nullptr;
};
BatchNormRun run_of(const BatchNormForward& op, const Buffers& buffers);
void prepare(const BatchNormRun& run, float* factors);
void sum_rows(const BatchNormRun& run, const Range& rows, const float* factors, float* sums);
void finish(const BatchNormRun& run, const RangeSums& sums, float* factors);  // writes mean and variance
void store_rows(const BatchNormRun& run, const Range& rows, const float* factors);

// With given statistics: set_factors, then store_rows.
BatchNormRun run_of(const BatchNormInference& op, const Buffers& buffers);
struct Statistics {
  const float* mean;
  const float* variance;
};
void set_factors(const BatchNormRun& run, const Statistics& given, float* factors);

// The gradients of scale, shift and x. With `shift`, the result was rectified: dy counts only where it was above 0. With `y`, what a
// rectifier made of the sum of the result and something else: dy counts only where y is not 0, and that gradient is kept in g.
struct BatchNormGradient {
  BatchNormRows shape;
  const float *x = nullptr, *dy = nullptr;
  const float *scale = nullptr, *mean = nullptr, *variance = nullptr;
  const float* shift = nullptr;  // may be absent
  const float* y = nullptr;      // may be absent; then g is, too
  float* g = nullptr;
  Into into = Into::overwrite, into_scale = Into::overwrite, into_shift = Into::overwrite;
  float *dx = nullptr, *dscale = nullptr, *dshift = nullptr;
};
BatchNormGradient run_of(const BatchNormBackward& op, const Buffers& buffers);
void prepare(const BatchNormGradient& run, float* factors);
void sum_rows(const BatchNormGradient& run, const Range& rows, const float* factors, float* sums);
void finish(const BatchNormGradient& run, const RangeSums& sums, float* factors);  // writes dscale and dshift
void store_rows(const BatchNormGradient& run, const Range& rows, const float* factors);

}  // namespace fovea::eigen
