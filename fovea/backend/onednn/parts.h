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

// The gradient of a filter is summed over images in parts, as many as take little memory, and parts of the filters are tasks too. Each task
// brings the pixels of its images into the layout of its products, so slices of filters are narrow only where tasks would be few.
struct FilterParts {
  int64_t images = 1, filters = 1;  // how many parts

  explicit FilterParts(const Conv2dShape& shape) {
    constexpr int64_t floats = int64_t{1} << 22, slice = 64;  // of all parts, or twice as many
    const int64_t fit = std::max<int64_t>(floats / shape.filter().elements(), 1);
    cut(shape, fit, slice);
    FilterParts more = *this, narrow = *this;
    more.cut(shape, std::min(2 * fit, fewest_tasks / filters), slice);
    narrow.cut(shape, fit, slice / 2);
    for (const FilterParts& other : {more, narrow})
      if (count() < fewest_tasks && other.count() > count()) *this = other;
  }
  int64_t count() const { return images * filters; }

 private:
  static constexpr int64_t tasks = 32, fewest_tasks = 16;

  void cut(const Conv2dShape& shape, int64_t most_images, int64_t slice) {
    images = divisor_up_to(divisor_up_to(shape.n, std::min(shape.n / images_of_a_task(shape), most_images)), tasks);
    for (filters = 1; count() < tasks && shape.k % (2 * filters * slice) == 0;) filters *= 2;
  }
};

inline Conv2dShape of_images(Conv2dShape shape, int64_t images) {
  shape.n = images;
  return shape;
}

}  // namespace fovea::onednn
