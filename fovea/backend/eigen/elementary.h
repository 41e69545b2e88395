// exp and tanh of float without a branch, so that loops over them vectorise. Cody and Waite: reduction by ln 2, then a polynomial.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace fovea::eigen {

// Relative error below 2^-22; 0 below exp(-87), infinity where float has no larger number, NaN of NaN.
[[gnu::always_inline]] inline float exponential(float x) {
  const float inside = x < -87.0f ? -87.0f : x > 89.0f ? 89.0f : x;
  const float shifted = inside * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: the low bits of the sum are the nearest whole number
  const float whole = shifted - 12582912.0f;
  const float r = (inside - whole * 0.693359375f) + whole * 2.12194440e-4f;  // ln 2 in two parts
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r * r + r + 1.0f;
  const int32_t power = std::bit_cast<int32_t>(shifted) - 0x4B400000, half = power >> 1;  // two factors: 2^128 alone is too large
  const float value = p * std::bit_cast<float>((half + 127) << 23) * std::bit_cast<float>((power - half + 127) << 23);
  return x < -87.0f ? 0.0f : value;
}

[[gnu::always_inline]] inline float hyperbolic_tangent(float x) {
  const float z = x * x, size = std::fabs(x);
  float series = -1382.0f / 155925;  // of Taylor, where 1 - 2 / (exp(2 x) + 1) would cancel
  series = series * z + 62.0f / 2835;
  series = series * z - 17.0f / 315;
  series = series * z + 2.0f / 15;
  series = series * z - 1.0f / 3;
  const float near = x + x * z * series;
  const float far = std::copysign(1.0f - 2.0f / (exponential(2.0f * size) + 1.0f), x);
  return size < 0.35f ? near : far;
}

}  // namespace fovea::eigen
