// Which elements dropout keeps: integer arithmetic, so the same bits on every backend.
#pragma once

#include "fovea/base/philox.h"
#include "fovea/graph/op.h"

namespace fovea {

struct DropoutMask {
  uint64_t seed = 0;
  uint32_t stream = 0, step = 0;
  uint32_t threshold = 0;  // an element whose 32 random bits are below it is dropped
  float scale = 1;         // of the kept ones

  // Of one sample: (sample, 4 block), ..., (sample, 4 block + 3).
  FOVEA_HOST_DEVICE Random4 bits(int64_t sample, int64_t block) const {
    return philox(seed, stream, step, static_cast<uint32_t>(sample), static_cast<uint32_t>(block));
  }
  FOVEA_HOST_DEVICE bool keeps(int64_t sample, int64_t element) const { return bits(sample, element / 4).v[element % 4] >= threshold; }
};

FOVEA_HOST_DEVICE inline uint32_t dropout_threshold(float rate) { return static_cast<uint32_t>(static_cast<double>(rate) * 0x1p32); }
FOVEA_HOST_DEVICE inline float dropout_scale(float rate) { return static_cast<float>(1.0 / (1.0 - static_cast<double>(rate))); }

// `sample` of the mask is first_sample + i of the operator; rate lies in [0, 1), layer in [0, 2^24).
FOVEA_HOST_DEVICE inline DropoutMask dropout_mask(const DropoutForward& op, const StepControl& control) {
  return {control.seed, static_cast<uint32_t>(Draw::dropout) | op.layer << 8, control.step, dropout_threshold(op.rate),
          dropout_scale(op.rate)};
}

}  // namespace fovea
