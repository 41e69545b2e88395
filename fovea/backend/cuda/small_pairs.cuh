// The arithmetic on pairs of 16-bit numbers around the products of small networks.
#pragma once

#include <cstdint>

#include "fovea/backend/cuda/floats.cuh"

namespace fovea::cuda {

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
