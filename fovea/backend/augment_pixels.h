// What decides the pixels of an augmented image: which stored image, which of its pixels, and their normalisation.
// Integer arithmetic and one explicit fma, so the same bits on every backend.
#pragma once

#include <cmath>

#include "fovea/base/philox.h"
#include "fovea/graph/op.h"

namespace fovea {

// The part of Augment that a device needs, without its vectors.
struct AugmentRule {
  int64_t h = 1, w = 1;
  Order order = Order::sequential;
  Mirror mirror = Mirror::none;
  int64_t crop_padding = 0, first_sample = 0;
};
inline AugmentRule rule_of(const Augment& op) { return {op.h, op.w, op.order, op.mirror, op.crop_padding, op.first_sample}; }

// Output pixel (h, w) shows the stored pixel (h + shift_h, (mirror ? last_w - w : w) + shift_w) of `image`, or black where that lies
// outside.
struct Placement {
  int64_t image = -1;  // -1: a place beyond the pass, all zeros and ignored
  int64_t shift_h = 0, shift_w = 0;
  Mirror mirror = Mirror::none;
};

FOVEA_HOST_DEVICE inline Placement place_image(const AugmentRule& rule, const StepControl& control, int64_t i) {
  const uint64_t position = control.position + static_cast<uint64_t>(rule.first_sample + i);
  if (position >= control.images) return {};
  Placement placement;
  const uint64_t image = rule.order == Order::shuffled ? shuffled_index(position, control.images, control.seed, control.epoch) : position;
  placement.image = static_cast<int64_t>(image);
  if (rule.crop_padding == 0 && rule.mirror == Mirror::none) return placement;
  const Random4 bits = philox(control.seed, Draw::augment, control.epoch, static_cast<uint32_t>(image), 0);
  const uint32_t offsets = static_cast<uint32_t>(2 * rule.crop_padding + 1);
  placement.shift_h = static_cast<int64_t>(to_below(bits.v[0], offsets)) - rule.crop_padding;
  placement.shift_w = static_cast<int64_t>(to_below(bits.v[1], offsets)) - rule.crop_padding;
  if (rule.mirror == Mirror::random && (bits.v[2] >> 31) != 0) placement.mirror = Mirror::random;
  return placement;
}

// The place of a pixel among the h * w stored ones of its image; -1: outside, black.
FOVEA_HOST_DEVICE inline int64_t source_pixel(const AugmentRule& rule, const Placement& placement, int64_t h, int64_t w) {
  const int64_t from_h = h + placement.shift_h;
  const int64_t from_w = (placement.mirror == Mirror::random ? rule.w - 1 - w : w) + placement.shift_w;
  if (from_h < 0 || from_h >= rule.h || from_w < 0 || from_w >= rule.w) return -1;
  return from_h * rule.w + from_w;
}

// y = (pixel / 255 - mean) / deviation as pixel * scale + shift.
struct Normalisation {
  float scale = 1, shift = 0;
};
inline Normalisation normalisation(float mean, float deviation) {
  return {static_cast<float>(1.0 / (255.0 * static_cast<double>(deviation))),
          static_cast<float>(-static_cast<double>(mean) / static_cast<double>(deviation))};
}
FOVEA_HOST_DEVICE inline float normalise(uint8_t pixel, Normalisation by) { return fmaf(static_cast<float>(pixel), by.scale, by.shift); }

}  // namespace fovea
