// How the scale of the loss follows the gradients: the same on all backends.
#pragma once

#include "fovea/base/philox.h"
#include "fovea/graph/op.h"

namespace fovea {

// As PyTorch's GradScaler: half of it after an overflow, twice as much after so many updates without one.
inline constexpr uint32_t good_steps_before_doubling = 2000;

// At the end of an update. Where nothing smaller is left than a scale of 1, the overflow is that of the gradients themselves: false.
FOVEA_HOST_DEVICE inline bool follow_gradients(LossScale& loss_scale) {
  const bool overflow = loss_scale.overflow != 0;
  loss_scale.overflow = 0;
  if (!overflow) {
    if (++loss_scale.good_steps < good_steps_before_doubling) return true;
    loss_scale.scale *= 2;
    loss_scale.good_steps = 0;
    return true;
  }
  loss_scale.good_steps = 0;
  if (loss_scale.scale <= 1) return false;
  loss_scale.scale /= 2;
  ++loss_scale.left_out;
  return true;
}

// Steps that were left out are not counted by what depends on their number: the corrections of Adam, the decay of averages.
FOVEA_HOST_DEVICE inline uint32_t counted_steps(const StepControl& control, const LossScale* loss_scale) {
  return control.step - (loss_scale == nullptr ? 0 : loss_scale->left_out);
}

}  // namespace fovea
