// What happens to an element of a product when its sum is complete.
#pragma once

#include "fovea/backend/cuda/activate.cuh"
#include "fovea/backend/cuda/floats.cuh"
#include "fovea/backend/cuda/parts.h"

namespace fovea::cuda {

__device__ inline float finished(const Epilogue& epilogue, int column, float sum) {
  if (epilogue.bias != nullptr) sum += epilogue.bias[column];
  if (epilogue.finish == Finish::nothing) return sum;
  return activate(static_cast<Activation>(static_cast<int>(epilogue.finish) - 1), sum);
}

// `width` finished values to neighbours in memory, or `stride` apart.
template <int width, class T>
__device__ inline void leave(const Epilogue& epilogue, int64_t place, const float* values) {
  T* to = static_cast<T*>(epilogue.out) + place;
  if (width > 1 && epilogue.stride_n == 1) {
    float sums[width] = {};
    if (epilogue.into == Into::add) copy<width>(to, sums);
#pragma unroll
    for (int j = 0; j < width; ++j) sums[j] += values[j];
    put<width>(sums, to);
    return;
  }
#pragma unroll
  for (int j = 0; j < width; ++j) {
    T& element = to[j * epilogue.stride_n];
    element = narrowed<T>(epilogue.into == Into::add ? widened(element) + values[j] : values[j]);
  }
}

// `width` neighbouring sums of one row, from (group, m, n) on.
template <int width>
__device__ inline void finish(const Epilogue& epilogue, const Product& product, int3 place, const float* sums) {
  const int64_t to = place.x * epilogue.group + place.y * epilogue.stride_m + place.z * epilogue.stride_n;
  const int column = place.x * product.n + place.z;
  float values[width];
#pragma unroll
  for (int j = 0; j < width; ++j) values[j] = finished(epilogue, column + j, sums[j]);
  if (epilogue.type == DType::f32)
    leave<width, float>(epilogue, to, values);
  else if (epilogue.type == DType::bf16)
    leave<width, BFloat16>(epilogue, to, values);
  else
    leave<width, Float16>(epilogue, to, values);
}

}  // namespace fovea::cuda
