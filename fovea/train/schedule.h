// The learning rate as a function of the step.
#pragma once

#include <cstdint>

#include "fovea/train/recipe.h"

namespace fovea::train {

// At update `step` of `steps` in all, `steps_per_epoch` of them in an epoch:
//   constant   rate
//   step       rate * factor^(epoch / every)
//   linear     from rate to final * rate
//   cosine     the same along half a cosine wave (Loshchilov and Hutter, ICLR 2017, equation 5)
//   one_cycle  from rate / 25 up to rate at peak_at and down to final * rate, both along half a cosine wave (Smith and Topin, 2018)
double learning_rate(const Recipe& recipe, int64_t step, int64_t steps, int64_t steps_per_epoch);

}  // namespace fovea::train
