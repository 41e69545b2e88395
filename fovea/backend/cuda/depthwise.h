// Convolutions in which every channel has a filter of its own.
#pragma once

#include "fovea/backend/cuda/parts.h"

namespace fovea::cuda {

inline bool is_depthwise(const Conv2dShape& shape) {
  constexpr int64_t most_taps = 1024;  // a grid of blocks has an end
  return shape.groups > 1 && shape.groups == shape.c && shape.groups == shape.k && shape.window.r * shape.window.s <= most_taps;
}

// in: x w [b]   out: y
enum class WithBias : uint8_t { no, yes };
KernelPtr depthwise_forward(const Conv2dForward& op, Finish finish, WithBias bias);
KernelPtr depthwise_backward_data(const Conv2dBackwardData& op);
KernelPtr depthwise_backward_filter(const Conv2dBackwardFilter& op);

}  // namespace fovea::cuda
