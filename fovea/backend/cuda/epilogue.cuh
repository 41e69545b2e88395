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

__device__ inline void store(const Epilogue& epilogue, float& to, float value) { to = epilogue.into == Into::add ? to + value : value; }

// `width` neighbouring sums of one row, from (group, m, n) on.
template <int width>
__device__ inline void finish(const Epilogue& epilogue, const Product& product, int3 place, const float* sums) {
  float* to = epilogue.out + (place.x * epilogue.group + place.y * epilogue.stride_m + place.z * epilogue.stride_n);
  const int column = place.x * product.n + place.z;
  if constexpr (width == 4) {
    float values[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) values[j] = finished(epilogue, column + j, sums[j]);
    if (epilogue.stride_n == 1) {
      const float4 before = epilogue.into == Into::add ? *reinterpret_cast<const float4*>(to) : make_float4(0, 0, 0, 0);
      *reinterpret_cast<float4*>(to) = make_float4(before.x + values[0], before.y + values[1], before.z + values[2], before.w + values[3]);
    } else {
#pragma unroll
      for (int j = 0; j < 4; ++j) store(epilogue, to[j * epilogue.stride_n], values[j]);
    }
  } else {
    store(epilogue, *to, finished(epilogue, column, *sums));
  }
}

}  // namespace fovea::cuda
