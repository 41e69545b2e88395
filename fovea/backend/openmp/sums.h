// Sums of parts, in a fixed order.
#pragma once

#include "fovea/graph/op.h"

namespace fovea::openmp {

struct Parts {
  int64_t count = 0;  // floats of each
  int64_t parts = 1;
  int64_t stride = 0;  // from one part to the next
};

// to = the parts added one after the other, or to + that.
void add_parts(const Parts& shape, const float* parts, Into into, float* to);

}  // namespace fovea::openmp
