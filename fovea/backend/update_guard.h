// What an update does beside its rule: the same on all host backends.
#pragma once

#include "fovea/graph/op.h"

namespace fovea {

enum class Gradients : uint8_t { finite, non_finite };

// Whether the update may change anything. If not, the first one says so in `metrics`.
inline bool may_update(Gradients gradients, const StepControl& control, Metrics& metrics) {
  if (gradients == Gradients::non_finite) ++metrics.non_finite;
  if (metrics.non_finite == 0) return true;
  if (metrics.left_out == 0) metrics.left_out = uint64_t{control.step} + 1;
  return false;
}

// At the end of an update.
inline void move_on(const Update& op, StepControl& control) {
  if (op.images > 0) control = control.after(1, op.images);
}

}  // namespace fovea
