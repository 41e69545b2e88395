// Floats of 16 bits in host memory: read as a wider float, which is exact, and rounded once when they are stored, ties to even.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "fovea/tensor/dtype.h"

namespace fovea {

// A sign, `exponent_bits` and the fraction, as in IEEE 754.
template <int exponent_bits>
class SmallFloat {
 public:
  SmallFloat() = default;
  explicit SmallFloat(double value) : bits_(rounded(value)) {}
  explicit operator double() const { return widened(bits_); }
  uint16_t bits() const { return bits_; }

 private:
  static constexpr int fraction_bits = 15 - exponent_bits;
  static constexpr int most_exponent = (1 << (exponent_bits - 1)) - 1, least_exponent = 1 - most_exponent;
  static constexpr int infinity = ((1 << exponent_bits) - 1) << fraction_bits;

  static uint16_t rounded(double value) {
    const int sign = std::signbit(value) ? 1 << 15 : 0;
    const double size = std::abs(value);
    if (std::isnan(value)) return static_cast<uint16_t>(sign | infinity | 1 << (fraction_bits - 1));
    if (size >= std::ldexp(1, most_exponent + 1)) return static_cast<uint16_t>(sign | infinity);
    const int exponent = std::max(std::ilogb(size), least_exponent);
    // The leading one of a normal number adds 1 to the exponent's bits, as does a fraction that is rounded up to the next power of two.
    const int steps = static_cast<int>(std::nearbyint(std::ldexp(size, fraction_bits - exponent)));
    return static_cast<uint16_t>(sign | (((exponent - least_exponent) << fraction_bits) + steps));
  }

  static double widened(uint16_t bits) {
    const int exponent = (bits & infinity) >> fraction_bits, fraction = bits & ((1 << fraction_bits) - 1);
    double size = 0;
    if (exponent == infinity >> fraction_bits)
      size = fraction == 0 ? HUGE_VAL : std::nan("");
    else if (exponent == 0)
      size = std::ldexp(fraction, least_exponent - fraction_bits);
    else
      size = std::ldexp(fraction + (1 << fraction_bits), exponent - 1 + least_exponent - fraction_bits);
    return (bits & 1 << 15) != 0 ? -size : size;
  }

  uint16_t bits_ = 0;
};

using BFloat16 = SmallFloat<8>;
using Float16 = SmallFloat<5>;
template <>
constexpr DType dtype_of<BFloat16>() {
  return DType::bf16;
}
template <>
constexpr DType dtype_of<Float16>() {
  return DType::fp16;
}

}  // namespace fovea
