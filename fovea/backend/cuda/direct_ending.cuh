// How the sums of a convolution of few channels end: bias and relu, or through the relu in front and into totals, on their way to memory.
#pragma once

#include "fovea/backend/cuda/direct_tiles.cuh"

namespace fovea::cuda {

struct DirectOutput {
  void* y;
  const float* bias;
  bool relu;
  const void* relu_y;  // of the relu whose gradient y becomes; nullptr: of none
  float* totals;       // with it: of what a block writes, over its pixels: (blocks, k)
};

// Eight gradients at a place, where relu let its input through, added to their totals.
template <class T>
__device__ __forceinline__ uint4 through_relu(uint4 dy, uint4 y, float (&totals)[8]) {
  uint32_t pairs[4] = {dy.x & ~zero_mask(y.x, T()), dy.y & ~zero_mask(y.y, T()), dy.z & ~zero_mask(y.z, T()), dy.w & ~zero_mask(y.w, T())};
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    const float2 pair = floats_of(pairs[j], T());
    totals[2 * j] += pair.x;
    totals[2 * j + 1] += pair.y;
  }
  return make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
}

// Of a warp, for 16 pixels by 8 columns filters at a time. A lane has eight filters of the pixels of a few pieces.
template <class T, int columns>
struct DirectEnding {
  static constexpr int pitch = columns * 16 + 16;  // bytes
  static constexpr int staging_bytes = matrix_pixels * pitch;
  static constexpr int pieces = matrix_pixels * columns / 32, piece_pixels = 32 / columns;

  const DirectShape& shape;
  const DirectOutput& out;
  const float* bias;
  unsigned char* staging;  // the warp's own piece of shared memory
  float totals[8] = {};

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }

  // Where the lane's eight of the piece that begins with this pixel of the tile go; -1: nowhere. A piece lies in one line.
  __device__ __forceinline__ int64_t element_of(const TilePlace& tile, int pixel) const {
    const int p = tile.p + (pixel >> shape.tile_w_bits), q = tile.q + (pixel & (shape.tile_w - 1)) + lane() / columns;
    const int eight = lane() % columns * 8;
    if (p >= shape.p || q >= shape.q || eight >= shape.k) return -1;
    return int64_t{(tile.n * shape.p + p) * shape.q + q} * shape.k + eight;
  }

  // Through shared memory, so that memory sees 16 bytes at a time.
  template <int matrices>
  __device__ __forceinline__ void store(const TilePlace& tile, int first_pixel, const float (&d)[matrices][columns][4]) {
    constexpr int asked = pieces > 2 ? 1 : 2;  // matrices whose outputs of relu have registers: this one, perhaps the next
    uint4 relu_y[asked][pieces];
    if (asked == 2) ask(tile, first_pixel, relu_y[0]);
#pragma unroll
    for (int t = 0; t < matrices; ++t) {
      const int first = first_pixel + t * matrix_pixels;
      if (t + asked - 1 < matrices) ask(tile, first + (asked - 1) * matrix_pixels, relu_y[(t + asked - 1) % asked]);
      stage(d[t]);
      __syncwarp();
#pragma unroll
      for (int i = 0; i < pieces; ++i) {
        const int64_t to = element_of(tile, first + i * piece_pixels);
        if (to < 0) continue;
        uint4 outputs = *reinterpret_cast<const uint4*>(staging + (lane() + 32 * i) / columns * pitch + lane() % columns * 16);
        if (out.relu_y != nullptr) outputs = through_relu<T>(outputs, relu_y[t % asked][i], totals);
        *reinterpret_cast<uint4*>(static_cast<T*>(out.y) + to) = outputs;
      }
      __syncwarp();
    }
  }

 private:
  __device__ __forceinline__ void ask(const TilePlace& tile, int first_pixel, uint4 (&relu_y)[pieces]) const {
    if (out.relu_y == nullptr) return;
#pragma unroll
    for (int i = 0; i < pieces; ++i) {
      const int64_t from = element_of(tile, first_pixel + i * piece_pixels);
      relu_y[i] = from >= 0 ? *reinterpret_cast<const uint4*>(static_cast<const T*>(out.relu_y) + from) : make_uint4(0, 0, 0, 0);
    }
  }
  __device__ __forceinline__ void stage(const float (&d)[columns][4]) const {
#pragma unroll
    for (int j = 0; j < columns; ++j) {
      const int k = j * 8 + lane() % 4 * 2;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float low = d[j][2 * half] + bias[k], high = d[j][2 * half + 1] + bias[k + 1];
        if (out.relu) {
          low = low <= 0 ? 0 : low;  // NaN stays NaN
          high = high <= 0 ? 0 : high;
        }
        *reinterpret_cast<uint32_t*>(staging + (lane() / 4 + half * 8) * pitch + k * 2) = pair_of(low, high, T());
      }
    }
  }
};

// Of all threads of the block, in the order of the warps. A thread's eight filters begin at 8 (lane % columns).
template <int columns>
__device__ void store_totals(const DirectShape& shape, float* to, float (&totals)[8], float* of_warps) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    for (int offset = 16; offset >= columns; offset /= 2) totals[j] += __shfl_xor_sync(~0u, totals[j], offset);
    if (lane < columns) of_warps[(warp * columns + lane) * 8 + j] = totals[j];
  }
  __syncthreads();
  const int k = static_cast<int>(threadIdx.x);
  if (k >= shape.k) return;
  float sum = 0;
  for (int i = 0; i < direct_warps; ++i) sum += of_warps[i * columns * 8 + k];
  to[int64_t{blockIdx.x} * shape.k + k] = sum;
}

// Into the second-level cache, a line of 128 bytes a thread, while the tile is multiplied.
__device__ inline void prefetch_relu(const DirectShape& shape, const DirectOutput& out, const TilePlace& place) {
  constexpr int line = 64;  // elements
  for (int i = static_cast<int>(threadIdx.x); i * line < shape.tile_h * shape.tile_w * shape.k; i += direct_threads) {
    const Divided at = shape.by_tile_w.divide(i * line / shape.k);
    const int p = place.p + at.quotient, q = place.q + at.remainder;
    if (p >= shape.p || q >= shape.q) continue;
    const uint16_t* from = static_cast<const uint16_t*>(out.relu_y) + ((int64_t{place.n} * shape.p + p) * shape.q + q) * shape.k;
    asm volatile("prefetch.global.L2 [%0];" ::"l"(from));
  }
}

}  // namespace fovea::cuda
