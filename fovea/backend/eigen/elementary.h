// exp, tanh and the Gaussian's integral of float without a branch, so that loops over them vectorise. Cody and Waite: reduction by ln 2,
// then a polynomial.
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

[[gnu::always_inline]] inline float logistic(float x) { return 1.0f / (1.0f + exponential(-x)); }

// exp(-x^2 / 2) / sqrt(2 pi) and its integral up to x; the latter as exp(-z^2) times a polynomial of (z - 2.5) / (z + 2.5), z = |x| / sqrt
// 2, which was fitted to (1 + 2 z) erfcx(z) with a relative error of 6e-8: what is left of the integral is small, not cancelled.
struct Gaussian {
  float density, integral;
};
[[gnu::always_inline]] inline Gaussian gaussian(float x) {
  const float size = std::fabs(x) * 0.707106781f, z = size > 10.0f ? 10.0f : size;  // erfc(10) is 0 in float
  const float t = (z - 2.5f) / (z + 2.5f);
  float p = -6.14597011e-05f;
  p = p * t + 4.04893945e-04f;
  p = p * t + 4.57517832e-04f;
  p = p * t - 4.17894591e-03f;
  p = p * t + 9.51486290e-04f;
  p = p * t + 3.26766334e-02f;
  p = p * t - 1.02972052e-01f;
  p = p * t + 1.57644540e-01f;
  p = p * t - 9.90240797e-02f;
  p = p * t - 1.22357480e-01f;
  p = p * t + 1.26483822e+00f;
  const float power = exponential(-z * z), rest = 0.5f * power * p / (1.0f + 2.0f * z);
  return {power * 0.398942280f, x < 0 ? rest : 1.0f - rest};
}

}  // namespace fovea::eigen
