// Division by multiplication, at the places where a wrong factor or shift shows first.
#include "fovea/backend/cuda/divider.h"

#include <gtest/gtest.h>

#include <vector>

#include "fovea/base/philox.h"

namespace fovea::cuda {
namespace {

void expect_divides(int i, int divisor) {
  const Divided divided = Divider(divisor).divide(i);
  ASSERT_EQ(divided.quotient, i / divisor) << i << " / " << divisor;
  ASSERT_EQ(divided.remainder, i % divisor) << i << " / " << divisor;
}

TEST(Divider, DividesEveryNumberOf31Bits) {
  constexpr int largest = 0x7FFFFFFF;
  std::vector<int> divisors = {largest, largest - 1, largest / 2, largest / 2 + 2, 641, 65537};
  for (int divisor = 1; divisor <= 300; ++divisor) divisors.push_back(divisor);
  for (int power = 9; power < 31; ++power)
    for (const int beside : {-1, 0, 1}) divisors.push_back((1 << power) + beside);
  for (const int divisor : divisors) {
    for (const int i : {0, 1, largest, largest - 1, divisor - 1, divisor}) expect_divides(i, divisor);
    for (uint32_t draw = 0; draw < 200; ++draw) {
      const int i = static_cast<int>(philox(3, Draw::test, draw, static_cast<uint32_t>(divisor), 0).v[0] >> 1);
      const int multiple = i / divisor * divisor;  // here and one below it the quotient changes
      for (const int place : {i, multiple, multiple > 0 ? multiple - 1 : 0}) expect_divides(place, divisor);
    }
  }
}

}  // namespace
}  // namespace fovea::cuda
