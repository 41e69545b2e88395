// Sums for each channel over parts of the rows, which wait to be merged: two for each, (parts, 2, c) in memory.
#pragma once

#include <span>

#include "fovea/backend/cuda/kernel.h"
#include "fovea/base/philox.h"

namespace fovea::cuda {

// How rows are dealt: `lines` at a time, to `parts` in turn.
struct Deal {
  int64_t rows = 1;
  int lines = 1, parts = 1;

  FOVEA_HOST_DEVICE int64_t step() const { return int64_t{parts} * lines; }
  FOVEA_HOST_DEVICE int64_t rows_of(int part) const {
    const int64_t rest = rows % step() - int64_t{part} * lines;
    return rows / step() * lines + (rest < 0 ? 0 : rest < lines ? rest : lines);
  }
};

inline size_t bytes_of_parts(const Deal& deal, int64_t c) {
  return static_cast<size_t>(deal.parts) * 2 * static_cast<size_t>(c) * sizeof(float);
}

// What normalises a channel.
struct Normal {
  const float *scale, *shift, *mean, *variance;
  float epsilon;
};

// The moments of x, input 0, over its rows, to outputs 1 and 2. Workspace: bytes_of_moments.
void launch_moments(const BatchNormForward& op, const Buffers& buffers, const Launch& launch);
size_t bytes_of_moments(const BatchNormForward& op);

// Means and sums of squared differences from them, of parts, to mean and variance: outputs 1 and 2.
void launch_merge_moments(const Deal& deal, int c, const float* parts, const Buffers& buffers, const Launch& launch);

// Sums of parts, of the gradient and of its products with the differences from the mean, to dscale and dshift, outputs 1 and 2 of `op`, and
// as they are, but with the normalised values in the place of the differences, to totals (2, c).
void launch_merge_gradients(const BatchNormBackward& op, const Deal& deal, const Normal& normal, std::span<const Tensor> out,
                            const float* parts, float* totals, const Launch& launch);

}  // namespace fovea::cuda
