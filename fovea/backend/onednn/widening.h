// A kernel in float between conversions of the tensors that are bf16.
#pragma once

#include "fovea/backend/backend.h"

namespace fovea::onednn {

// What a step is bound to, by position.
struct Sides {
  std::vector<graph::Type> in, out;
};

// `add`: the kernel adds to what stands in its outputs.
KernelPtr between_conversions(KernelPtr in_float, Sides sides, Into into, const Limits& limits);
// A claim of the parent's in the graph as it would be in float.
std::optional<Claim> claim_between_conversions(const Neighbours& around, const Limits& limits);

}  // namespace fovea::onednn
