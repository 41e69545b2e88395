// A range of the images of a batch: what fused steps work on at a time.
#pragma once

#include <algorithm>

#include "fovea/graph/op.h"

namespace fovea::eigen {

// Images [first, first + count) of a batch.
struct Images {
  int64_t first = 0, count = 0;
};

inline int64_t input_floats(const Conv2dShape& shape) { return shape.h * shape.w * shape.c; }  // of one image
inline int64_t output_floats(const Conv2dShape& shape) { return shape.p() * shape.q() * shape.k; }

// As many images as make products of a good size: some hundred output pixels.
inline int64_t images_at_a_time(const Conv2dShape& shape) { return std::clamp<int64_t>(512 / (shape.p() * shape.q()), 1, shape.n); }

// body(images) for each such range of the batch, in order.
template <class Body>
void for_each_images(const Conv2dShape& shape, Body body) {
  const int64_t block = images_at_a_time(shape);
  for (int64_t first = 0; first < shape.n; first += block) body(Images{first, std::min(block, shape.n - first)});
}

}  // namespace fovea::eigen
