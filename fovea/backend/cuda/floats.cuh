// Numbers as they lie in memory, in f32, bf16 or fp16, and as kernels compute with them, in float; one or several neighbours at a time.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "fovea/base/error.h"
#include "fovea/tensor/dtype.h"

namespace fovea::cuda {

using BFloat16 = __nv_bfloat16;
using Float16 = __half;
struct Tf32 {};  // a float in memory, of which tensor cores read the upper 19 bits

__device__ inline float widened(float value) { return value; }
__device__ inline float widened(BFloat16 value) { return __bfloat162float(value); }
__device__ inline float widened(Float16 value) { return __half2float(value); }

// Rounded to the nearest, ties to even.
template <class T>
__device__ inline T narrowed(float value) {
  if constexpr (std::is_same_v<T, BFloat16>)
    return __float2bfloat16_rn(value);
  else if constexpr (std::is_same_v<T, Float16>)
    return __float2half_rn(value);
  else
    return value;
}

// As many as one access of 16 bytes takes.
template <class T>
constexpr int most_abreast = 16 / static_cast<int>(sizeof(T));

template <int bytes>
struct Access;
template <>
struct Access<2> {
  using Type = uint16_t;
};
template <>
struct Access<4> {
  using Type = uint32_t;
};
template <>
struct Access<8> {
  using Type = uint2;
};
template <>
struct Access<16> {
  using Type = uint4;
};

// Both are aligned to as much as one access takes, at most 16 bytes.
template <int width, class T>
__device__ inline void copy(const T* from, float* to) {
  constexpr int abreast = width < most_abreast<T> ? width : most_abreast<T>;
  using Access = typename Access<abreast * sizeof(T)>::Type;
#pragma unroll
  for (int i = 0; i < width; i += abreast) {
    const Access bits = *reinterpret_cast<const Access*>(from + i);
    T values[abreast];
    __builtin_memcpy(values, &bits, sizeof bits);
#pragma unroll
    for (int j = 0; j < abreast; ++j) to[i + j] = widened(values[j]);
  }
}
template <int width, class T>
__device__ inline void put(const float* from, T* to) {
  constexpr int abreast = width < most_abreast<T> ? width : most_abreast<T>;
  using Access = typename Access<abreast * sizeof(T)>::Type;
#pragma unroll
  for (int i = 0; i < width; i += abreast) {
    T values[abreast];
#pragma unroll
    for (int j = 0; j < abreast; ++j) values[j] = narrowed<T>(from[i + j]);
    Access bits;
    __builtin_memcpy(&bits, values, sizeof bits);
    *reinterpret_cast<Access*>(to + i) = bits;
  }
}

// Calls function with a value of the type that the numbers have in memory.
template <class Function>
auto with_values(DType dtype, Function function) {
  if (dtype == DType::f32) return function(float());
  if (dtype == DType::bf16) return function(BFloat16());
  if (dtype == DType::fp16) return function(Float16());
  throw Error(ExitCode::internal, "`cuda` has no kernels for values of " + std::string(name_of(dtype)));
}

}  // namespace fovea::cuda
