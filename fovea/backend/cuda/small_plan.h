// What is decided about a small network before it runs: sizes, tiles, and where everything lies in shared memory.
#pragma once

#include <optional>
#include <vector>

#include "fovea/backend/cuda/small_net.h"
#include "fovea/backend/cuda/small_stage.h"

namespace fovea::cuda {

// Without the pointers. nullopt: it does not fit.
std::optional<ForwardJob> plan_forward(const SmallNet& net, const SmallDevice& device);
std::optional<HeadJob> plan_head(const SmallNet& net, const SmallDevice& device);
std::optional<BackwardJob> plan_backward(const SmallNet& net, const SmallDevice& device);
std::optional<FilterJob> plan_filters(const SmallNet& net, const SmallDevice& device);

}  // namespace fovea::cuda
