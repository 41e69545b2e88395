// Batch norms with what stands behind them, as one step.
#pragma once

#include "fovea/backend/backend.h"

namespace fovea::openmp {

// batch_norm [add] [relu], at least one of them; or relu_backward batch_norm_backward.
std::optional<Claim> claim_batch_norm(const Neighbours& around, const Limits& limits);

}  // namespace fovea::openmp
