// Images with what surrounds them: where a range of lines and columns hangs over the border, a copy of it with zeros there.
#pragma once

#include <cstdint>

namespace fovea::openmp {

struct SourceShape {
  int64_t n = 1, h = 1, w = 1, c = 1;
};

// Lines and columns from the lowest to the highest, both included, perhaps beyond the border.
struct SourceWindow {
  int64_t lowest_h = 0, highest_h = 0, lowest_w = 0, highest_w = 0;
  int64_t h() const { return highest_h - lowest_h + 1; }
  int64_t w() const { return highest_w - lowest_w + 1; }
  bool is_inside(const SourceShape& shape) const { return lowest_h >= 0 && lowest_w >= 0 && highest_h < shape.h && highest_w < shape.w; }
};

struct SourceView {
  const float* at;  // the window's first pixel
  int64_t line;     // floats from one line to the next
};

// The window of one image: the image itself, or its copy in `scratch` of window.h() * window.w() * c floats.
SourceView view_of(const SourceShape& shape, const SourceWindow& window, const float* image, float* scratch);

}  // namespace fovea::openmp
