// Kernels of oneDNN for convolutions; nullptr where it has none that is worth taking.
#pragma once

#include "fovea/backend/backend.h"

namespace fovea::onednn {

KernelPtr forward_kernel(const Conv2dForward& op, const Limits& limits);
KernelPtr data_kernel(const Conv2dBackwardData& op, const Limits& limits);
KernelPtr filter_kernel(const Conv2dBackwardFilter& op, const Limits& limits);

}  // namespace fovea::onednn
