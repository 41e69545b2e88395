// Handwritten-like digits drawn from a seed: a synthetic data set that a person reads at once and that is about as hard as MNIST.
#pragma once

#include <cstdint>
#include <span>

#include "fovea/data/dataset.h"

namespace fovea::data {

constexpr int64_t digit_side = 28;

struct DigitsRequest {
  uint64_t seed = 1;
  int64_t train = 60'000, test = 10'000;  // images; a smaller set is the beginning of a larger one
  int threads = 1;                        // changes the time, never the bits
};

Dataset digits(const DigitsRequest& request);  // 28 x 28 x 1, white ink on black

enum class DigitPart : uint32_t { train, test };

struct DigitKey {
  uint64_t seed;
  DigitPart part;
  uint32_t id;
};

// Draws the one image that `key` determines and returns its label. `image`: (28, 28).
int32_t draw_digit(const DigitKey& key, std::span<uint8_t, digit_side * digit_side> image);

}  // namespace fovea::data
