// One or four neighbouring floats at a time.
#pragma once

namespace fovea::cuda {

// With a width of 4 both places are aligned to 16 bytes.
template <int width>
__device__ inline void copy(const float* from, float* to) {
  if constexpr (width == 4)
    *reinterpret_cast<float4*>(to) = *reinterpret_cast<const float4*>(from);
  else
    *to = *from;
}

}  // namespace fovea::cuda
