#include "fovea/study/places.h"

#include <cmath>
#include <cstring>

namespace fovea::study {
namespace {

// Of x, for place `place` of the window over output (n, p, q, c); -1 where it lies outside.
int64_t element_at(const PoolShape& shape, int64_t output, int64_t place) {
  const Window& window = shape.window;
  const int64_t c = output % shape.c, q = output / shape.c % shape.q(), p = output / shape.c / shape.q() % shape.p();
  const int64_t n = output / shape.c / shape.q() / shape.p();
  const int64_t h = p * window.stride_h - window.pad_top + place / window.s * window.dilation_h;
  const int64_t w = q * window.stride_w - window.pad_left + place % window.s * window.dilation_w;
  if (place >= window.r * window.s || h < 0 || h >= shape.h || w < 0 || w >= shape.w) return -1;
  return ((n * shape.h + h) * shape.w + w) * shape.c + c;
}

}  // namespace

void settle_ties(const PoolShape& shape, std::span<const float> x, std::span<const double> allowed, const std::vector<std::byte>& a,
                 std::vector<std::byte>& b) {
  const size_t width = bytes_of(argmax_dtype(shape.window));
  const auto place_in = [&](const std::vector<std::byte>& places, size_t i) {
    uint16_t place = 0;
    std::memcpy(&place, places.data() + i * width, width);  // little-endian, as all that fovea runs on
    return static_cast<int64_t>(place);
  };
  for (size_t i = 0; i < a.size() / width; ++i) {
    if (std::memcmp(a.data() + i * width, b.data() + i * width, width) == 0) continue;
    const int64_t of_a = element_at(shape, static_cast<int64_t>(i), place_in(a, i));
    const int64_t of_b = element_at(shape, static_cast<int64_t>(i), place_in(b, i));
    if (of_a < 0 || of_b < 0) continue;
    const auto at_a = static_cast<size_t>(of_a), at_b = static_cast<size_t>(of_b);
    const double apart = std::abs(static_cast<double>(x[at_a]) - static_cast<double>(x[at_b]));
    if (apart <= allowed[at_a] + allowed[at_b]) std::memcpy(b.data() + i * width, a.data() + i * width, width);
  }
}

}  // namespace fovea::study
