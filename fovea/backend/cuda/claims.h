// Kernels that take several nodes as one step.
#pragma once

#include <optional>

#include "fovea/backend/cuda/kernel.h"

namespace fovea::cuda {

// in: x w b   out: y
KernelPtr conv2d_with_bias(const Conv2dForward& op, std::optional<Activation> activation);
KernelPtr linear_with_bias(const LinearForward& op, std::optional<Activation> activation);

// What is done to normalised values on their way to memory: another branch added, then an activation.
struct NormTail {
  bool adds = false;
  std::optional<Activation> activation;
  float slope = 0;  // of leaky_relu
};
// in: x scale shift [added]   out: y mean variance
KernelPtr batch_norm_with(const BatchNormForward& op, const NormTail& tail);
// in: x scale shift mean variance [added]   out: y
KernelPtr batch_norm_with(const BatchNormInference& op, const NormTail& tail);
// The gradient through the activation behind a norm, and through the norm.
// in: y (or x of the activation), its dy, x scale mean variance   out: dx dscale dshift [dy of the norm]
KernelPtr batch_norm_backward_with(const BatchNormBackward& op, const ActivationBackward& activation);

// Loss, Metrics and gradient of a batch in one block. in: x t [LossScale]   out: Metrics dx
KernelPtr scored_softmax_cross_entropy(const SoftmaxCrossEntropyBackward& op);
inline constexpr int64_t largest_scored_batch = 1024;  // beyond it, one block takes longer than three kernels on all multiprocessors

}  // namespace fovea::cuda
