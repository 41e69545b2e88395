// What each parameter tensor gets of the optimiser.
#pragma once

#include <vector>

#include "fovea/model/network.h"
#include "fovea/train/recipe.h"

namespace fovea::train {

struct TensorSettings {
  double rate_scale = 1;
  double decay = 0;
  Switch frozen = Switch::off;  // no gradient is computed for it, and it stays as it is
};

// By parameter, in the network's order: weight_decay and decay_on first, then every [[tensors]] table that matches. Running statistics,
// which no optimiser touches, have places too, but no table matches them.
// Throws Error (config) where a table matches no parameter, or all are frozen.
std::vector<TensorSettings> tensor_settings(const Recipe& recipe, const model::Network& network);

}  // namespace fovea::train
