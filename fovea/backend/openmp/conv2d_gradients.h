// The gradients around a convolution as one step: of pooling, rectifier, bias, filter and input.
#pragma once

#include "fovea/backend/eigen/conv2d_block.h"

namespace fovea::openmp {

KernelPtr make_gradients(const eigen::Conv2dBlockBackward& block, const Limits& limits);

}  // namespace fovea::openmp
