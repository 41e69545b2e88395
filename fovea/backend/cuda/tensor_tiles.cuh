// What the products on tensor cores share: operands in shared memory, pairs of 16-bit numbers, and the way of windows through the images.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "fovea/backend/cuda/async_copy.cuh"
#include "fovea/backend/cuda/divider.h"
#include "fovea/backend/cuda/tensor_map.h"
#include "fovea/backend/cuda/wgmma.cuh"

namespace fovea::cuda {

constexpr int group_threads = 128;  // of a warp group, which multiplies 64 rows
constexpr int group_rows = 64;
constexpr int shared_bytes_per_sm = 227 * 1024;
constexpr int pattern_bytes = 1024;  // in which the widest pattern repeats, and tiles begin

// The address, the pattern and the strides of an operand, as the instruction wants them. `lead` is the distance of patterns along the inner
// axis where that is not the contraction, `stride` that of eight lines.
template <int pattern>
__device__ inline uint64_t operand(const void* at, int lead, int stride) {
  constexpr uint64_t mode = pattern == 128 ? 1 : pattern == 64 ? 2 : 3;
  return (shared_address(at) & 0x3FFFF) >> 4 | static_cast<uint64_t>(lead >> 4) << 16 | static_cast<uint64_t>(stride >> 4) << 32 |
         mode << 62;
}

__device__ inline uint32_t pair_of(float low, float high, __nv_bfloat16) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}
__device__ inline uint32_t pair_of(float low, float high, __half) {
  const __half2 pair = __floats2half2_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}
__device__ inline float2 floats_of(uint32_t pair, __nv_bfloat16) {
  return __bfloat1622float2(*reinterpret_cast<const __nv_bfloat162*>(&pair));
}
__device__ inline float2 floats_of(uint32_t pair, __half) { return __half22float2(*reinterpret_cast<const __half2*>(&pair)); }

// Of each number: all bits where it is at most zero.
__device__ inline uint32_t zero_mask(uint32_t pair, __nv_bfloat16) {
  return __hle2_mask(*reinterpret_cast<const __nv_bfloat162*>(&pair), __nv_bfloat162(__float2bfloat16_rn(0.0f), __float2bfloat16_rn(0.0f)));
}
__device__ inline uint32_t zero_mask(uint32_t pair, __half) {
  return __hle2_mask(*reinterpret_cast<const __half2*>(&pair), __half2(__float2half_rn(0.0f), __float2half_rn(0.0f)));
}

__device__ inline void sync_group(int group) { asm volatile("bar.sync %0, %1;" ::"r"(group + 1), "n"(group_threads) : "memory"); }

// Dynamic shared memory from the first place on where a pattern may begin.
__device__ inline unsigned char* first_pattern(unsigned char* shared) {
  return reinterpret_cast<unsigned char*>((reinterpret_cast<uintptr_t>(shared) + pattern_bytes - 1) & ~uintptr_t{pattern_bytes - 1});
}

// Windows in the order (n, p, q).
struct WindowOrder {
  int count = 0;
  Divider by_q, by_p;
  int stride_h = 1, stride_w = 1, lower_h = 0, lower_w = 0;

  explicit WindowOrder(const Windows& windows)
      : count(static_cast<int>(windows.count())),
        by_q(windows.q),
        by_p(windows.p),
        stride_h(windows.stride_h),
        stride_w(windows.stride_w),
        lower_h(windows.lower_h),
        lower_w(windows.lower_w) {}

  // Where window i begins: w, h, n.
  __device__ int3 begin(int i) const {
    const Divided row = by_q.divide(i);
    const Divided image = by_p.divide(row.quotient);
    return make_int3(row.remainder * stride_w + lower_w, image.remainder * stride_h + lower_h, image.quotient);
  }
};

// A ring of stages in shared memory: one thread fills them by copies, every warp group reads them.
template <int stages>
struct Ring {
  Barrier full[stages], empty[stages];

  __device__ void init(int readers) {
    for (int i = 0; i < stages; ++i) {
      full[i].init(1);
      empty[i].init(readers);
    }
    fence_barrier_init();
  }
};
struct RingPlace {
  int stage = 0;
  uint32_t parity = 0;

  __device__ void advance(int stages) {
    if (++stage == stages) {
      stage = 0;
      parity ^= 1;
    }
  }
  __device__ int before(int stages) const { return stage == 0 ? stages - 1 : stage - 1; }
};

}  // namespace fovea::cuda
