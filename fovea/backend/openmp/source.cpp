#include "fovea/backend/openmp/source.h"

#include <algorithm>

namespace fovea::openmp {

SourceView view_of(const SourceShape& shape, const SourceWindow& window, const float* image, float* scratch) {
  const int64_t line = shape.w * shape.c;
  if (window.is_inside(shape)) return {image + window.lowest_h * line + window.lowest_w * shape.c, line};
  const int64_t copied_line = window.w() * shape.c;
  const int64_t left = std::clamp<int64_t>(-window.lowest_w, 0, window.w()) * shape.c;
  const int64_t first = std::max<int64_t>(window.lowest_w, 0), last = std::min(window.highest_w, shape.w - 1);
  const int64_t inside = std::max<int64_t>(last - first + 1, 0) * shape.c;
  float* to = scratch;
  for (int64_t h = window.lowest_h; h <= window.highest_h; ++h, to += copied_line) {
    if (h < 0 || h >= shape.h || inside == 0) {
      std::fill_n(to, copied_line, 0.0f);
      continue;
    }
    std::fill_n(to, left, 0.0f);
    std::copy_n(image + h * line + first * shape.c, inside, to + left);
    std::fill_n(to + left + inside, copied_line - left - inside, 0.0f);
  }
  return {scratch, copied_line};
}

}  // namespace fovea::openmp
