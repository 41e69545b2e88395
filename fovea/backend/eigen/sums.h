// What is summed over all units of an operator, range by range: see parts.h.
#pragma once

#include "fovea/backend/eigen/parts.h"
#include "fovea/backend/update_guard.h"

namespace fovea::eigen {

void add_scores(const Score& op, const Range& images, const Buffers& buffers, Metrics& metrics);

// Of all tensors, one after the other. run_part of an Update comes only where may_update allows it.
Gradients gradients_of(const Update& op, const Range& elements, const Buffers& buffers);

double sum_of_squares(const GradientNorm& op, const Range& elements, const Buffers& buffers);  // of all tensors, one after the other
int64_t elements_of(const GradientNorm& op);

}  // namespace fovea::eigen
