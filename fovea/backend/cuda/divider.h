// Division of 31-bit numbers by a number that a kernel learns at its launch: a multiplication and a shift.
// Granlund and Montgomery: "Division by invariant integers using multiplication", PLDI 1994, theorem 4.2 with N = 31.
#pragma once

#include "fovea/base/philox.h"

namespace fovea::cuda {

struct Divided {
  int quotient, remainder;
};

class Divider {
 public:
  Divider() = default;
  explicit Divider(int divisor) : divisor_(divisor) {
    uint32_t bits = 0;
    while ((uint64_t{1} << bits) < static_cast<uint64_t>(divisor)) ++bits;
    shift_ = 31 + bits;
    factor_ = static_cast<uint32_t>(((uint64_t{1} << shift_) + static_cast<uint64_t>(divisor) - 1) / static_cast<uint64_t>(divisor));
  }
  FOVEA_HOST_DEVICE int quotient(int i) const { return static_cast<int>((uint64_t{static_cast<uint32_t>(i)} * factor_) >> shift_); }
  FOVEA_HOST_DEVICE Divided divide(int i) const {
    const int by = quotient(i);
    return {by, i - by * divisor_};
  }

 private:
  int divisor_ = 1;
  uint32_t shift_ = 31;
  uint32_t factor_ = uint32_t{1} << 31;
};

}  // namespace fovea::cuda
