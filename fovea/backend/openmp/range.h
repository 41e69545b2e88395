// Ranges of equal size, but for one, that together make a whole.
#pragma once

#include <cstdint>

namespace fovea::openmp {

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Range i of `parts` over [0, count).
struct Range {
  constexpr Range(int64_t count, int64_t parts, int64_t i) : first(count * i / parts), size(count * (i + 1) / parts - first) {}
  int64_t first, size;
};

}  // namespace fovea::openmp
