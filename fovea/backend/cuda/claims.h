// Kernels that take several nodes as one step.
#pragma once

#include <optional>

#include "fovea/backend/cuda/kernel.h"

namespace fovea::cuda {

// in: x w b   out: y
KernelPtr conv2d_with_bias(const Conv2dForward& op, std::optional<Activation> activation);
KernelPtr linear_with_bias(const LinearForward& op, std::optional<Activation> activation);

// in: x w b   out: y of the pooling, argmax (absent in evaluation)
KernelPtr pooled_conv2d(const Conv2dForward& conv2d, std::optional<Activation> activation, const MaxPoolForward& pool,
                        const Limits& limits);

// The gradients of a relu or leaky_relu and of the bias before it.
// in: y dy of the activation   out: its dx, db
inline float slope_of(const ActivationBackward& op) { return op.activation == Activation::leaky_relu ? op.slope : 0; }
KernelPtr activation_and_bias_backward(const ActivationBackward& activation, const BiasBackward& bias);
// The same with the convolution behind the activation, relu, whose gradient by the image is for it alone; nullptr where the tensor cores do
// not take it. in: dy w of the convolution, y of relu   out: dx of relu, db
KernelPtr data_gradient_with_relu_and_bias(const Conv2dBackwardData& op, const BiasBackward& bias);
// The same with a max pooling behind the activation, of `slope`; where has_cells.
// in: dy argmax y of the pooling   out: dx of the activation, db
KernelPtr pool_activation_and_bias_backward(const MaxPoolBackward& op, float slope, Into into_bias);

// What is done to normalised values on their way to memory: another branch added, then an activation.
struct NormTail {
  bool adds = false;
  std::optional<Activation> activation;
  float slope = 0;  // of leaky_relu
};
// in: x scale shift [added]   out: y mean variance
KernelPtr batch_norm_with(const BatchNormForward& op, const NormTail& tail);
// With relu and the pooling behind that; nullptr where it has none of these windows.
// in: x scale shift   out: y of the pooling, mean variance argmax
KernelPtr batch_norm_with_pool(const BatchNormForward& op, const MaxPoolForward& pool);
// The convolution in front as well, where it leaves the moments on its way; nullptr where it does not.
// in: x w scale shift [added]   out: y mean variance, and what is normalised
KernelPtr conv2d_with_batch_norm(const Conv2dForward& conv2d, const BatchNormForward& norm, const NormTail& tail);
// The ends of two branches, their sum, and an activation; nullptr for other activations than relu, and where a convolution does not leave
// the moments. in: x w scale shift of the first, x w scale shift of the second   out: y, mean variance and what is normalised of each
struct NormedConv2d {
  const Conv2dForward& conv2d;
  const BatchNormForward& norm;
};
KernelPtr two_conv2d_with_batch_norm(const NormedConv2d& first, const NormedConv2d& second, std::optional<Activation> activation);
// With relu and the pooling behind that; nullptr where it has none of these windows, or the convolution does not leave the moments.
// in: x w scale shift   out: y of the pooling, mean variance argmax, and what is normalised
KernelPtr conv2d_with_batch_norm_and_pool(const NormedConv2d& normed, const MaxPoolForward& pool);
// in: x scale shift mean variance [added]   out: y
KernelPtr batch_norm_with(const BatchNormInference& op, const NormTail& tail);
// Two of the same size, their sum, and relu or nothing, as two_conv2d_with_batch_norm ends.
// in: x scale shift mean variance of each   out: y
struct NormedBranches {
  BatchNormInference first, second;
  enum class Relu : uint8_t { no, yes } relu = Relu::no;
};
KernelPtr two_batch_norms_with_sum(const NormedBranches& branches);
// The gradient through the activation behind a norm, and through the norm.
// in: y (or x of the activation), its dy, x scale mean variance   out: dx dscale dshift [dy of the norm]
KernelPtr batch_norm_backward_with(const BatchNormBackward& op, const ActivationBackward& activation);
// The same for relu right behind the norm, which x alone decides.
// in: x dy scale shift mean variance   out: dx dscale dshift [dy of the norm]
KernelPtr batch_norm_backward_with_relu(const BatchNormBackward& op);
// The gradients of two norms of the same size that have the same gradient behind them.
// in: dy, x scale mean variance of each   out: dx dscale dshift of each
KernelPtr two_batch_norms_backward(const BatchNormBackward& first, const BatchNormBackward& second);

// A convolution of one pixel whose outputs, several times as wide as its inputs, are never in memory: they are computed again wherever the
// norm behind it, or the norm's gradient, reads them. What is behind the norm is a sum with another branch, and perhaps relu.
enum class SumBehind : uint8_t { nothing, relu };
bool can_be_computed_again(const Conv2dForward& op);
// in: x w scale shift, what is added   out: y mean variance
KernelPtr norm_of_product(const NormedConv2d& own, SumBehind behind);
// What is added is the norm of the end of another branch; nullptr where its convolution does not leave the moments.
// in: x w scale shift of each   out: y, mean variance, mean variance and what is normalised of the branch
KernelPtr norm_of_product_and_branch(const NormedConv2d& own, const NormedConv2d& branch, SumBehind behind);
// Both are computed again. in: x w scale shift of each   out: y, mean variance of each
KernelPtr norms_of_products(const NormedConv2d& first, const NormedConv2d& second, SumBehind behind);
// in: x w of the convolution, dy scale mean variance   out: dx dscale dshift
KernelPtr norm_of_product_backward(const Conv2dForward& conv2d, const BatchNormBackward& op);

// Loss, Metrics and gradient of a batch. in: x t [LossScale]   out: Metrics dx
KernelPtr scored_loss(const SoftmaxCrossEntropyBackward& op);
KernelPtr scored_loss(const BinaryCrossEntropyBackward& op);

// The claims of norm_claims.cpp.
std::optional<Claim> norm_claim(const Neighbours& around);

// A network so small that whole parts of a step are one.
std::optional<Claim> small_net_claim(const Neighbours& around);

}  // namespace fovea::cuda
