// Depthwise convolution: the loops of the parent over lines, shared out among threads.
#pragma once

#include "fovea/backend/openmp/kernel.h"

namespace fovea::openmp {

KernelPtr make_depthwise(const Conv2dForward& op, const Limits& limits);
KernelPtr make_depthwise(const Conv2dBackwardData& op, const Limits& limits);
KernelPtr make_depthwise(const Conv2dBackwardFilter& op, const Limits& limits);

}  // namespace fovea::openmp
