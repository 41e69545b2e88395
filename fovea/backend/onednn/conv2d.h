// Kernels of oneDNN for convolutions; nullptr where it has none that is worth taking.
#pragma once

#include "fovea/backend/backend.h"
#include "fovea/backend/eigen/direct.h"
#include "fovea/backend/onednn/primitive.h"

namespace fovea::onednn {

// Whether what is around a convolution is better left out of a claim with it in float than oneDNN out of it.
bool is_large(const Conv2dShape& shape, const Types& types);

// What is done to the outputs of a task while they are in the cache.
struct Behind {
  WithBias with_bias = WithBias::no;
  eigen::Rectify rectify = eigen::Rectify::no;
};
KernelPtr forward_kernel(const Conv2dForward& op, const Behind& behind, const Limits& limits);
KernelPtr data_kernel(const Conv2dBackwardData& op, const Limits& limits);
KernelPtr filter_kernel(const Conv2dBackwardFilter& op, const Limits& limits);

}  // namespace fovea::onednn
