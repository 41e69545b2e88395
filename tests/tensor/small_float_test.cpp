// Floats of 16 bits: every one of them, and every midpoint between two.
#include "fovea/tensor/small_float.h"

#include <gtest/gtest.h>

#include <limits>

#include "fovea/tensor/convert.h"

namespace fovea {
namespace {

template <class T>
T of_bits(int bits) {
  return std::bit_cast<T>(static_cast<uint16_t>(bits));
}

template <class T>
class SmallFloats : public testing::Test {};
using Types = testing::Types<BFloat16, Float16>;
TYPED_TEST_SUITE(SmallFloats, Types);

TYPED_TEST(SmallFloats, StayThemselves) {
  for (int bits = 0; bits < 1 << 16; ++bits) {
    const TypeParam value = of_bits<TypeParam>(bits);
    const double wide = static_cast<double>(value);
    if (std::isnan(wide))
      EXPECT_TRUE(std::isnan(static_cast<double>(TypeParam(wide)))) << bits;
    else
      EXPECT_EQ(TypeParam(wide).bits(), bits) << wide;
  }
}

// Up to the largest: what lies behind it is infinite from half a step on.
TYPED_TEST(SmallFloats, AreTheNearestAndOfTwoTheEvenOne) {
  for (int bits = 0; std::isfinite(static_cast<double>(of_bits<TypeParam>(bits))); ++bits) {
    const double low = static_cast<double>(of_bits<TypeParam>(bits)), high = static_cast<double>(of_bits<TypeParam>(bits + 1));
    const double before = bits == 0 ? low : static_cast<double>(of_bits<TypeParam>(bits - 1));
    const double middle = std::isfinite(high) ? (low + high) / 2 : low + (low - before) / 2;
    EXPECT_EQ(TypeParam(middle).bits(), bits % 2 == 0 ? bits : bits + 1) << middle;
    EXPECT_EQ(TypeParam(std::nextafter(middle, 0.0)).bits(), bits) << middle;
    EXPECT_EQ(TypeParam(std::nextafter(middle, HUGE_VAL)).bits(), bits + 1) << middle;
    EXPECT_EQ(TypeParam(-std::nextafter(middle, HUGE_VAL)).bits(), bits + 1 + (1 << 15)) << middle;
  }
}

TEST(SmallFloatValues, AreThoseOfTheirFormats) {
  EXPECT_EQ(static_cast<double>(of_bits<Float16>(0x3c00)), 1);
  EXPECT_EQ(static_cast<double>(of_bits<Float16>(0x7bff)), 65504);
  EXPECT_EQ(static_cast<double>(of_bits<Float16>(0x0001)), 0x1p-24);
  EXPECT_EQ(static_cast<double>(of_bits<BFloat16>(0x3f80)), 1);
  EXPECT_EQ(static_cast<double>(of_bits<BFloat16>(0x8001)), -0x1p-133);
  EXPECT_EQ(Float16(1e300).bits(), 0x7c00);
  EXPECT_EQ(BFloat16(-std::numeric_limits<double>::infinity()).bits(), 0xff80);
}

// Halves of a step of 16 bits that single precision would round to a tie first.
TEST(Convert, RoundsOnce) {
  double above = 1 + 0x1p-9 + 0x1p-40;  // bf16 has steps of 2^-7 here, fp16 of 2^-10
  uint16_t rounded = 0;
  convert({&above, DType::f64, {1}}, {&rounded, DType::bf16, {1}});
  EXPECT_EQ(rounded, 0x3f80);
  above = 1 + 0x1p-8 + 0x1p-40;
  convert({&above, DType::f64, {1}}, {&rounded, DType::bf16, {1}});
  EXPECT_EQ(rounded, 0x3f81);
  above = 1 + 0x1p-11 + 0x1p-40;
  convert({&above, DType::f64, {1}}, {&rounded, DType::fp16, {1}});
  EXPECT_EQ(rounded, 0x3c01);
}

}  // namespace
}  // namespace fovea
