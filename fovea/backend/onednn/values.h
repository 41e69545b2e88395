// Loops over values: between float and bf16, rounded once to the nearest and ties to even, and sums.
#pragma once

#include <cstdint>

#include "fovea/tensor/tensor.h"

namespace fovea::onednn {

void widen(int64_t count, const uint16_t* from, float* to);
void narrow(int64_t count, const float* from, uint16_t* to);
void add(int64_t count, const float* from, uint16_t* to);                            // to += from, rounded once
void rectified(int64_t count, const uint16_t* y, const uint16_t* dy, uint16_t* dx);  // dx = dy where y > 0 or is NaN, else 0
void rectify(const Tensor& of, int64_t row);                                         // a row of a tensor in float or bf16; NaN stays NaN
void add_parts(int64_t count, int64_t parts, int64_t step, float* first);            // to the first those that lie `step` behind it each

}  // namespace fovea::onednn
