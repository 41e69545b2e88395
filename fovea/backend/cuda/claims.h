// Kernels that take several nodes as one step.
#pragma once

#include <optional>

#include "fovea/backend/cuda/kernel.h"

namespace fovea::cuda {

// in: x w b   out: y
KernelPtr conv2d_with_bias(const Conv2dForward& op, std::optional<Activation> activation);
KernelPtr linear_with_bias(const LinearForward& op, std::optional<Activation> activation);

// Loss, Metrics and gradient of a batch in one block. in: x t   out: Metrics dx
KernelPtr scored_softmax_cross_entropy(const SoftmaxCrossEntropyBackward& op);
inline constexpr int64_t largest_scored_batch = 1024;  // beyond it, one block takes longer than three kernels on all multiprocessors

}  // namespace fovea::cuda
