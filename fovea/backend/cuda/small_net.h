// Networks so small that a block of threads holds the activations of an image: convolutions with bias, relu and pooling, then linear layers
// and softmax cross-entropy, in bf16 or fp16. A whole step but its data and its update is five launches.
#pragma once

#include <optional>
#include <vector>

#include "fovea/backend/cuda/kernel.h"

namespace fovea::cuda {

enum class Pooling : uint8_t { none, two_by_two };  // maxima of 2 x 2 pixels

struct SmallConv {
  Conv2dShape shape;
  Pooling pooling = Pooling::none;
  Into into_w = Into::overwrite, into_b = Into::overwrite;  // their gradients
};
struct SmallLinear {
  LinearShape shape;
  Into into_w = Into::overwrite, into_b = Into::overwrite;
};
struct SmallNet {
  DType dtype = DType::bf16;
  std::vector<SmallConv> convs;
  std::vector<SmallLinear> linears;  // with relu but for the last
  SoftmaxCrossEntropyBackward loss;
};

// Both are nullptr for what they have no kernels for, or what does not fit.
// in: x, then w b of each convolution   out: y of the last
KernelPtr small_net_forward(const SmallNet& net);
// in: x t, w b of each convolution and each linear layer, LossScale if there is one   out: Metrics, dw db of each
KernelPtr small_net_training(const SmallNet& net);

}  // namespace fovea::cuda
