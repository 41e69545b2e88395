// The moments of the filters of a tile, out of the registers that its sums stand in.
#pragma once

#include "fovea/backend/cuda/tensor_tiles.cuh"

namespace fovea::cuda {

struct TileMoments {
  float* to;  // (2, m)
  int m, m0;  // filters, and the first one of the warp group
  int valid;  // pixels of the tile
};

// Of the four neighbours that have the same filters.
__device__ inline float sum_of_four(float value) {
  value += __shfl_xor_sync(~0u, value, 1);
  return value + __shfl_xor_sync(~0u, value, 2);
}

// The mean of each filter's outputs, and their squared differences from it, summed; of the values as they are stored.
template <class T, int pixels>
__device__ __forceinline__ void store_moments(float (&d)[pixels / 2], const TileMoments& tile, int thread) {
  float mean[2] = {0, 0}, squares[2] = {0, 0};
#pragma unroll
  for (int i = 0; i < pixels / 2; i += 2) {
    const float2 pair = floats_of(pair_of(d[i], d[i + 1], T()), T());
    d[i] = pair.x;
    d[i + 1] = pair.y;
    mean[i / 2 % 2] += pair.x + pair.y;  // zeros beyond the last image
  }
#pragma unroll
  for (int e = 0; e < 2; ++e) mean[e] = sum_of_four(mean[e]) / static_cast<float>(tile.valid);
  if (tile.valid < pixels)
#pragma unroll
    for (int i = 0; i < pixels / 2; ++i)
      if (i / 4 * 8 + thread % 4 * 2 + i % 2 >= tile.valid) d[i] = mean[i / 2 % 2];
#pragma unroll
  for (int i = 0; i < pixels / 2; ++i) {
    const float difference = d[i] - mean[i / 2 % 2];
    squares[i / 2 % 2] = fmaf(difference, difference, squares[i / 2 % 2]);
  }
#pragma unroll
  for (int e = 0; e < 2; ++e) {
    squares[e] = sum_of_four(squares[e]);
    const int row = tile.m0 + thread / 32 * 16 + thread % 32 / 4 + 8 * e;
    if (thread % 4 > 0 || row >= tile.m) continue;
    tile.to[row] = mean[e];
    tile.to[tile.m + row] = squares[e];
  }
}

}  // namespace fovea::cuda
