// Depthwise convolution, one filter for each channel, over ranges of lines.
#pragma once

#include <string>
#include <vector>

#include "fovea/backend/eigen/depthwise_loops.h"
#include "fovea/backend/eigen/parts.h"

namespace fovea::eigen {

bool depthwise_suits(const Conv2dShape& shape);
std::string depthwise_algorithm();

// One axis of a convolution: for each place that is written, the places that are read under the window and lie inside.
struct AxisTaps {
  std::vector<Tap> taps;
  std::vector<int64_t> end;  // by place; the first one's begin at 0

  int64_t begin_of(int64_t place) const { return place == 0 ? 0 : end[static_cast<size_t>(place - 1)]; }
  int64_t count_of(int64_t place) const { return end[static_cast<size_t>(place)] - begin_of(place); }
};

class DepthwiseConv2d {
 public:
  explicit DepthwiseConv2d(const Conv2dShape& shape);
  int64_t filter_floats() const { return shape_.window.r * shape_.window.s * shape_.c; }

  void pack(const float* w, float* packed) const;               // (k, r, s, 1) to (r, s, k)
  void unpack(Into into, const float* packed, float* w) const;  // and back

  // Ranges of the lines of what is written; for the filter of the lines of dy, whose sums are added to `packed`.
  void forward(const Range& lines, const float* x, const float* packed, float* y) const;
  void backward_data(const Range& lines, const float* dy, const float* packed, float* dx, Into into) const;
  void backward_filter(const Range& lines, const float* x, const float* dy, float* packed) const;

 private:
  Conv2dShape shape_;
  AxisTaps forward_rows_, forward_columns_, backward_rows_, backward_columns_;
};

}  // namespace fovea::eigen
