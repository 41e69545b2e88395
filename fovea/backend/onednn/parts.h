// What the tasks of a convolution are: by its shape alone, so that sums of the tasks do not depend on the threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "fovea/graph/op.h"

namespace fovea::onednn {

// The largest divisor of `count` that is at most `most`.
inline int64_t divisor_up_to(int64_t count, int64_t most) {
  int64_t divisor = std::clamp<int64_t>(most, 1, count);
  while (count % divisor != 0) --divisor;
  return divisor;
}

// Images of a task: enough to pay for its start, and tasks enough for many threads.
inline int64_t images_of_a_task(const Conv2dShape& shape) {
  constexpr int64_t least_macs = int64_t{1} << 21, tasks = 32;
  const int64_t enough = (least_macs * shape.n + shape.macs() - 1) / shape.macs();
  return divisor_up_to(shape.n, std::min(enough, std::max<int64_t>(shape.n / tasks, 1)));
}

// The gradient of a filter is summed over images in parts, few where filters are large, and then parts of the filters are tasks too.
struct FilterParts {
  int64_t images = 1, filters = 1;  // how many parts

  // Each task brings the pixels of its images into the layout of its products, and each part of the images is written and read again.
  explicit FilterParts(const Conv2dShape& shape) {
    constexpr int64_t most_floats = int64_t{1} << 22, tasks = 32, fewest_tasks = 16, least_filters = 64;
    const auto cut = [&](int64_t most) {
      images = divisor_up_to(divisor_up_to(shape.n, std::min(shape.n / images_of_a_task(shape), most)), tasks);
      for (filters = 1; images * filters < tasks && shape.k % (2 * filters * least_filters) == 0;) filters *= 2;
    };
    cut(std::max<int64_t>(most_floats / shape.filter().elements(), 1));
    if (images * filters < fewest_tasks) cut(fewest_tasks / filters);
  }
};

inline Conv2dShape of_images(Conv2dShape shape, int64_t images) {
  shape.n = images;
  return shape;
}

}  // namespace fovea::onednn
