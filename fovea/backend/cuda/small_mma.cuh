// Products of 16-bit numbers by one warp out of shared memory, and the arithmetic on pairs of them around the products. PTX ISA 7.8,
// "Warp level matrix instructions". On GPUs older than compute capability 8.0 nothing calls them.
#pragma once

#include <cstdint>

#include "fovea/backend/cuda/dependent.cuh"
#include "fovea/backend/cuda/floats.cuh"

namespace fovea::cuda {

__device__ __forceinline__ uint32_t shared_address(const void* at) { return static_cast<uint32_t>(__cvta_generic_to_shared(at)); }

// Four 8 x 8 matrices; lanes 8 i to 8 i + 7 give the addresses of the rows of matrix i.
__device__ __forceinline__ void load_matrices(uint32_t (&v)[4], uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3])
               : "r"(row)
               : "memory");
}
__device__ __forceinline__ void load_transposed(uint32_t (&v)[4], uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3])
               : "r"(row)
               : "memory");
}

// d (16, 8) += a (16, 16) b (16, 8). Lane l holds of d rows l / 4 and l / 4 + 8, columns 2 (l % 4) and the next.
__device__ __forceinline__ void multiply_add(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, BFloat16) {
  if constexpr (compiled_for >= 800)
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ __forceinline__ void multiply_add(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, Float16) {
  if constexpr (compiled_for >= 800)
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Two numbers that need not be neighbours.
__device__ __forceinline__ uint32_t gather_pair(const unsigned char* first, const unsigned char* second) {
  const uint32_t low = *reinterpret_cast<const uint16_t*>(first), high = *reinterpret_cast<const uint16_t*>(second);
  return __byte_perm(low, high, 0x5410);
}

template <class T>
struct Pairs;
template <>
struct Pairs<BFloat16> {
  using Type = __nv_bfloat162;
  static constexpr uint32_t ones = 0x3F803F80u;
  static __device__ Type rounded(float low, float high) { return __floats2bfloat162_rn(low, high); }
};
template <>
struct Pairs<Float16> {
  using Type = __half2;
  static constexpr uint32_t ones = 0x3C003C00u;
  static __device__ Type rounded(float low, float high) { return __floats2half2_rn(low, high); }
};
template <class T>
using Pair = typename Pairs<T>::Type;

template <class T>
__device__ __forceinline__ uint32_t bits_of(const T& pair) {
  return *reinterpret_cast<const uint32_t*>(&pair);
}
template <class T>
__device__ __forceinline__ uint32_t rounded_pair(float low, float high) {
  return bits_of(Pairs<T>::rounded(low, high));
}

template <class T>
__device__ __forceinline__ Pair<T> pair_of(uint32_t bits) {
  return *reinterpret_cast<const Pair<T>*>(&bits);
}

// relu of two sums, and through which of the four pixels of a pool's window, a bit of each of two bytes, their gradients go: none where
// relu is 0.
struct Routed {
  uint32_t value;
  uint16_t route;
};
template <class T>
__device__ __forceinline__ Routed routed(Pair<T> sums) {
  const Pair<T> zero = Pairs<T>::rounded(0, 0), value = __hmax2_nan(sums, zero);
  const uint32_t passes = __hgt2_mask(value, zero) & 0x00010001u;
  return {bits_of(value), static_cast<uint16_t>(__byte_perm(passes, 0, 0x4420))};
}
template <class T>
__device__ __forceinline__ Routed routed(Pair<T> s0, Pair<T> s1, Pair<T> s2, Pair<T> s3) {
  const Pair<T> zero = Pairs<T>::rounded(0, 0), largest = __hmax2_nan(__hmax2_nan(s0, s1), __hmax2_nan(s2, s3));
  const Pair<T> value = __hmax2_nan(largest, zero);
  uint32_t route = 0x00080008u;  // the first of equal ones
  uint32_t is = __heq2_mask(s2, largest);
  route = (is & 0x00040004u) | (~is & route);
  is = __heq2_mask(s1, largest);
  route = (is & 0x00020002u) | (~is & route);
  is = __heq2_mask(s0, largest);
  route = (is & 0x00010001u) | (~is & route);
  route &= __hgt2_mask(value, zero);
  return {bits_of(value), static_cast<uint16_t>(__byte_perm(route, 0, 0x4420))};
}

}  // namespace fovea::cuda
