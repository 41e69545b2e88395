// The gradient of max pooling where the input falls into cells of stride x stride pixels and each window covers few of them.
#pragma once

#include "fovea/backend/cuda/kernel.h"

namespace fovea::cuda {

// Square windows of 2 or 3 pixels, 2 or 3 apart, that cover all pixels.
bool has_cells(const PoolShape& shape);

// in: dy argmax   out: dx
KernelPtr max_pool_backward_in_cells(const MaxPoolBackward& op);

}  // namespace fovea::cuda
