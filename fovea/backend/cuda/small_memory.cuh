// How blocks bring images and filters of small networks into shared memory, and spread gradients there.
#pragma once

#include "fovea/backend/cuda/dependent.cuh"
#include "fovea/backend/cuda/small_pairs.cuh"
#include "fovea/backend/cuda/small_stage.h"
#include "fovea/backend/cuda/warp_mma.cuh"

namespace fovea::cuda {

// All of a block's shared memory. Said so wherever it is used, so that the compiler knows which kind of memory it is.
__device__ __forceinline__ unsigned char* shared_memory() {
  extern __shared__ __align__(128) unsigned char shared[];
  return shared;
}

// Threads that work on an image together: a block, or a part of it with a barrier of its own.
struct Team {
  int thread, threads, barrier;
  __device__ int lane() const { return thread % 32; }
  __device__ int warp() const { return thread / 32; }
  __device__ int warps() const { return threads / 32; }
  __device__ void wait() const { asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory"); }
};
// Numbered from 1 on: barrier 0 is the block's.
__device__ inline Team team_of(int teams) {
  const int threads = static_cast<int>(blockDim.x) / teams, team = static_cast<int>(threadIdx.x) / threads;
  return {static_cast<int>(threadIdx.x) - team * threads, threads, team + 1};
}

// Under way when this returns, but for units of two bytes.
__device__ inline void copy_async(const Copy& copy, const void* source, unsigned char* to, const Team& team, int images = 1) {
  const unsigned char* from = static_cast<const unsigned char*>(source);
  for (int image = 0; image < images; ++image, from += copy.count * copy.unit, to += copy.image_bytes)
    for (int i = team.thread; i < copy.count; i += team.threads) {
      const Divided line = copy.by_units.divide(i), at = copy.by_line.divide(line.quotient);
      unsigned char* there = to + copy.start + at.quotient * copy.outer + at.remainder * copy.inner + line.remainder * copy.unit;
      const unsigned char* here = from + i * copy.unit;
      if (copy.unit == 16)
        copy_async_of<16>(there, here);
      else if (copy.unit == 8)
        copy_async_of<8>(there, here);
      else if (copy.unit == 4)
        copy_async_of<4>(there, here);
      else
        *reinterpret_cast<uint16_t*>(there) = *reinterpret_cast<const uint16_t*>(here);
    }
}

__device__ inline void clear(unsigned char* at, int bytes, const Team& team) {
  for (int i = team.thread * 16; i < bytes; i += team.threads * 16) *reinterpret_cast<uint4*>(at + i) = make_uint4(0, 0, 0, 0);
}

// Where group g of eight channels of the contraction lies from a window's first pixel on.
__device__ inline void write_group_offsets(const ConvStage& stage, int* offsets, const Team& team) {
  const int eights = stage.line / 8;
  for (int g = team.thread; g < stage.steps() * 2; g += team.threads) {
    const int tap = g / eights, r = tap / stage.s, s = tap - r * stage.s;
    offsets[g] = g < stage.groups() ? r * stage.row_bytes + s * stage.pitch + (g - tap * eights) * 16 : 0;
  }
}
// Where number i of the contraction lies in an image that is as it is.
__device__ inline void write_raw_offsets(const ConvStage& stage, uint16_t* offsets, const Team& team) {
  const int run = stage.s * stage.c;
  for (int i = team.thread; i < stage.steps() * 16; i += team.threads) {
    const int r = i / run;
    offsets[i] = static_cast<uint16_t>(i < stage.r * run ? r * stage.row_bytes + (i - r * run) * 2 : 0);
  }
}

// All ones in each half of a pair whose byte in `route` has bit `which`. The selector names the bytes, with an 8 before each: their signs.
__device__ __forceinline__ uint32_t mask_of(uint32_t route, int which, uint32_t selector) {
  uint32_t mask;
  asm("prmt.b32 %0, %1, 0, %2;" : "=r"(mask) : "r"(route << (7 - which)), "r"(selector));
  return mask;
}

// The gradient of the sums of a stage's convolution: that of its outputs where relu and the pool let it through, zeros elsewhere.
template <int channels>
__device__ void spread_pixels(const ConvStage& stage, const GradientPlace& place, const unsigned char* dy, const unsigned char* routes,
                              unsigned char* to, const Team& team) {
  constexpr int words = channels / 2;
  using Gradients = typename Access<channels * 2>::Type;
  using Routes = typename Access<channels>::Type;
  const int count = stage.outputs() / channels;
  for (int i = team.thread; i < count; i += team.threads) {
    const Divided all = place.by_pieces.divide(i), at = stage.by_out_w.divide(all.quotient);
    uint32_t gradient[words], route[words > 1 ? words / 2 : 1] = {};
    const Gradients gradient_bits = reinterpret_cast<const Gradients*>(dy)[i];
    const Routes route_bits = reinterpret_cast<const Routes*>(routes)[i];
    __builtin_memcpy(gradient, &gradient_bits, sizeof gradient_bits);
    __builtin_memcpy(route, &route_bits, sizeof route_bits);
    const int window = stage.pool ? 2 : 1;
    unsigned char* first =
        to + place.first + (at.quotient * window * place.columns + at.remainder * window) * place.pitch + all.remainder * channels * 2;
#pragma unroll
    for (int which = 0; which < 4; ++which) {
      if (which > 0 && !stage.pool) break;
      uint32_t kept[words];
#pragma unroll
      for (int j = 0; j < words; ++j) kept[j] = gradient[j] & mask_of(route[j / 2], which, j % 2 == 0 ? 0x9988 : 0xBBAA);
      Gradients bits;
      __builtin_memcpy(&bits, kept, sizeof bits);
      *reinterpret_cast<Gradients*>(first + (which / 2 * place.columns + which % 2) * place.pitch) = bits;
    }
  }
}
__device__ inline void spread(const ConvStage& stage, const GradientPlace& place, const unsigned char* dy, const unsigned char* routes,
                              unsigned char* to, const Team& team) {
  if (stage.k % 8 == 0)
    spread_pixels<8>(stage, place, dy, routes, to, team);
  else
    spread_pixels<2>(stage, place, dy, routes, to, team);
}

}  // namespace fovea::cuda
