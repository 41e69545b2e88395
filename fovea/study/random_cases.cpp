// Convolutions, pools and linear layers of random sizes.
#include <fmt/format.h>

#include <algorithm>

#include "fovea/base/philox.h"
#include "fovea/study/case_families.h"

namespace fovea::study {
namespace {

class Dice {
 public:
  explicit Dice(uint64_t seed) : seed_(seed) {}
  int64_t between(int64_t low, int64_t high) {
    const uint32_t bits = philox(seed_, Draw::test, draws_++, 0, 0).v[0];
    return low + static_cast<int64_t>(to_below(bits, static_cast<uint32_t>(high - low + 1)));
  }
  template <size_t count>
  int64_t one_of(const int64_t (&values)[count]) {
    return values[between(0, count - 1)];
  }

 private:
  uint64_t seed_;
  uint32_t draws_ = 0;
};

Conv2dShape random_conv2d(Dice& dice) {
  Conv2dShape shape;
  Window& window = shape.window;
  window.r = dice.between(1, 5), window.s = dice.between(1, 5);
  window.stride_h = dice.between(1, 3), window.stride_w = dice.between(1, 3);
  window.dilation_h = dice.between(1, 2), window.dilation_w = dice.between(1, 2);
  window.pad_top = dice.between(0, 3), window.pad_bottom = dice.between(0, 3);
  window.pad_left = dice.between(0, 3), window.pad_right = dice.between(0, 3);
  const int64_t least_h = window.dilation_h * (window.r - 1) + 1 - window.pad_top - window.pad_bottom;
  const int64_t least_w = window.dilation_w * (window.s - 1) + 1 - window.pad_left - window.pad_right;
  shape.n = dice.between(1, 3);
  shape.h = std::max<int64_t>(least_h, 1) + dice.between(0, 9);
  shape.w = std::max<int64_t>(least_w, 1) + dice.between(0, 9);
  shape.groups = dice.one_of({1, 1, 1, 2, 3});
  shape.c = shape.groups * dice.between(1, 9);
  shape.k = shape.groups * dice.between(1, 9);
  return shape;
}

PoolShape random_pool(Dice& dice) {
  PoolShape shape;
  Window& window = shape.window;
  window.r = dice.between(1, 4), window.s = dice.between(1, 4);
  window.stride_h = dice.between(1, 4), window.stride_w = dice.between(1, 4);
  if (dice.between(0, 2) == 0) {
    window.dilation_h = dice.between(1, 2), window.dilation_w = dice.between(1, 2);
  } else {
    window.pad_top = dice.between(0, window.r - 1), window.pad_bottom = dice.between(0, window.r - 1);
    window.pad_left = dice.between(0, window.s - 1), window.pad_right = dice.between(0, window.s - 1);
  }
  shape.n = dice.between(1, 3);
  shape.h = window.dilation_h * (window.r - 1) + dice.between(1, 10);
  shape.w = window.dilation_w * (window.s - 1) + dice.between(1, 10);
  shape.c = dice.between(1, 20);
  return shape;
}

}  // namespace

std::vector<OpCase> random_cases(uint64_t seed, int shapes) {
  Dice dice(seed);
  std::vector<OpCase> cases;
  for (int number = 0; number < shapes; ++number) {
    const std::string prefix = fmt::format("random {}.{}", seed, number);
    const int64_t kind = dice.between(0, 4);
    if (kind <= 1) add_conv2d(cases, random_conv2d(dice), prefix);
    if (kind == 2) add_linear(cases, {.n = dice.between(1, 9), .c = dice.between(1, 70), .k = dice.between(1, 40)}, prefix);
    if (kind == 3) add_max_pool(cases, random_pool(dice), prefix);
    if (kind == 4) add_avg_pool(cases, random_pool(dice), dice.between(0, 1) == 0 ? CountPadding::no : CountPadding::yes, prefix);
  }
  return cases;
}

}  // namespace fovea::study
