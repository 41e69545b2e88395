// Random pixels with random labels, of any size: for measuring speed, with nothing in them to learn.
#pragma once

#include <cstdint>

#include "fovea/data/dataset.h"

namespace fovea::data {

struct SyntheticShape {
  int64_t h = 0, w = 0, c = 0, classes = 0;
  int64_t train = 10'000, test = 1'000;  // images
};

Dataset synthetic(const SyntheticShape& shape, int threads);  // the same bits for any number of threads

}  // namespace fovea::data
