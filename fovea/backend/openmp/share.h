// Shares of equal size, but for one, that together make a whole.
#pragma once

#include <cstdint>

namespace fovea::openmp {

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t whole_lines(int64_t floats) { return ceil_div(floats, 32) * 32; }  // so that no two threads share a line of the cache

// Share i of `shares` of [0, count).
struct Share {
  constexpr Share(int64_t count, int64_t shares, int64_t i) : first(count * i / shares), size(count * (i + 1) / shares - first) {}
  int64_t first, size;
};

}  // namespace fovea::openmp
