// How the sums of a convolution of few channels end: bias and relu, or through the relu in front and into totals, or into moments, on their
// way to memory.
#pragma once

#include "fovea/backend/cuda/direct_tiles.cuh"

namespace fovea::cuda {

struct DirectOutput {
  void* y;
  const float* bias;
  bool relu;
  const void* relu_y;  // of the relu whose gradient y becomes; nullptr: of none
  float* totals;       // with it: of what a block writes, over its pixels: (blocks, k)
  float* moments;      // of what a block writes: (blocks, 2, k)
};

// What an ending leaves besides the outputs, where it is asked to.
enum class Aside : uint8_t { nothing, totals, moments };

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

// Sums of the differences of a lane's eight filters from the warp's first outputs: their mean is small, so that little cancels.
template <class T>
struct LaneMoments {
  uint32_t origin[4] = {};  // pairs
  float sum[8] = {}, squares[8] = {};

  __device__ __forceinline__ void begin(uint4 outputs) {
    origin[0] = outputs.x;
    origin[1] = outputs.y;
    origin[2] = outputs.z;
    origin[3] = outputs.w;
  }
  __device__ __forceinline__ void add(uint4 outputs) {
    const uint32_t pairs[4] = {outputs.x, outputs.y, outputs.z, outputs.w};
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const float2 pair = floats_of(pairs[j], T()), first = floats_of(origin[j], T());
      const float low = pair.x - first.x, high = pair.y - first.y;
      sum[2 * j] += low;
      sum[2 * j + 1] += high;
      squares[2 * j] = fmaf(low, low, squares[2 * j]);
      squares[2 * j + 1] = fmaf(high, high, squares[2 * j + 1]);
    }
  }
};

// Of a warp, for 16 pixels by 8 columns filters at a time. A lane has eight filters of the pixels of a few pieces.
template <class T, int columns, Aside aside>
struct DirectEnding {
  static constexpr int pitch = columns * 16 + 16;  // bytes
  static constexpr int staging_bytes = matrix_pixels * pitch;
  static constexpr int pieces = matrix_pixels * columns / 32, piece_pixels = 32 / columns;

  const DirectShape& shape;
  const DirectOutput& out;
  const float* bias;
  unsigned char* staging;  // the warp's own piece of shared memory
  float totals[8] = {};
  LaneMoments<T> moments = {};

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
        uint4 outputs = staged((lane() + 32 * i) / columns);
        if (aside == Aside::totals && out.relu_y != nullptr) outputs = through_relu<T>(outputs, relu_y[t % asked][i], totals);
        if (aside == Aside::moments) moments.add(outputs);
        *reinterpret_cast<uint4*>(static_cast<T*>(out.y) + to) = outputs;
      }
      __syncwarp();
    }
  }

  // The warp's first outputs, before it stores them.
  __device__ __forceinline__ void begin_moments(const float (&d)[columns][4]) {
    stage(d);
    __syncwarp();
    moments.begin(staged(0));
    __syncwarp();
  }

 private:
  // The lane's filters of a pixel.
  __device__ __forceinline__ uint4 staged(int pixel) const {
    return *reinterpret_cast<const uint4*>(staging + pixel * pitch + lane() % columns * 16);
  }
  __device__ __forceinline__ void ask(const TilePlace& tile, int first_pixel, uint4 (&relu_y)[pieces]) const {
    if constexpr (aside == Aside::totals) {
      if (out.relu_y == nullptr) return;
#pragma unroll
      for (int i = 0; i < pieces; ++i) {
        const int64_t from = element_of(tile, first_pixel + i * piece_pixels);
        relu_y[i] = from >= 0 ? *reinterpret_cast<const uint4*>(static_cast<const T*>(out.relu_y) + from) : make_uint4(0, 0, 0, 0);
      }
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

// Of all warps that have stored outputs, `each` of them, merged as in Chan, Golub, LeVeque: "Updating formulae and a pairwise algorithm for
// computing sample variances", 1979: first the mean of their means, then the squares about it. `of_warps`: (direct_warps, 2, 8 columns).
template <class T, int columns>
__device__ void store_moments(const DirectShape& shape, float* to, LaneMoments<T>& own, int warps, int each, float* of_warps) {
  constexpr int filters = columns * 8;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const float count = static_cast<float>(each);
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    for (int offset = 16; offset >= columns; offset /= 2) {
      own.sum[j] += __shfl_xor_sync(~0u, own.sum[j], offset);
      own.squares[j] += __shfl_xor_sync(~0u, own.squares[j], offset);
    }
    const float2 pair = floats_of(own.origin[j / 2], T());
    const float step = own.sum[j] / count;
    if (lane >= columns) continue;
    float* warps_own = of_warps + warp * 2 * filters + lane * 8 + j;
    warps_own[0] = (j % 2 == 0 ? pair.x : pair.y) + step;
    warps_own[filters] = fmaxf(own.squares[j] - own.sum[j] * step, 0.0f);
  }
  __syncthreads();
  const int k = static_cast<int>(threadIdx.x);
  if (k >= shape.k) return;
  float mean = 0, squares = 0;
  for (int i = 0; i < warps; ++i) mean += of_warps[i * 2 * filters + k];
  mean /= static_cast<float>(warps);
  for (int i = 0; i < warps; ++i) {
    const float step = of_warps[i * 2 * filters + k] - mean;
    squares += fmaf(count * step, step, of_warps[(i * 2 + 1) * filters + k]);
  }
  to[int64_t{blockIdx.x} * 2 * shape.k + k] = mean;
  to[(int64_t{blockIdx.x} * 2 + 1) * shape.k + k] = squares;
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
