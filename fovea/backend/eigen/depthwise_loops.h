// Depthwise convolution line by line, in vectors of channels: each channel is a plane of its own with a filter of its own.
// Compiled once per instruction set, as product.cpp.
#pragma once

#include <cstdint>

namespace fovea::eigen {

// Where a place of the window reads, and where its filter lies, both in floats.
struct Tap {
  int64_t source = 0, filter = 0;
};

// out(pixel, c) = or += sum over rows and the pixel's columns of source(row + column, c) filter(row + column, c).
struct DepthwiseLine {
  int64_t pixels = 1, c = 1;
  const Tap* rows = nullptr;
  int64_t row_count = 0;
  const Tap* columns = nullptr;         // of all pixels
  const int64_t* column_end = nullptr;  // by pixel; the first one's begin at 0
  const float* source = nullptr;
  const float* filter = nullptr;
  float* out = nullptr;
  enum class Mode : uint8_t { overwrite, add } mode = Mode::overwrite;
};

// sums(c) += sum over pixels of x(pixel, c) dy(pixel, c).
struct DepthwiseProducts {
  int64_t pixels = 1, c = 1;
  const float* x = nullptr;
  int64_t x_step = 0;
  const float* dy = nullptr;
  float* sums = nullptr;
};

struct DepthwiseLoops {
  void (*line)(const DepthwiseLine&);
  void (*products)(const DepthwiseProducts&);
};

// Of the best instruction set that this processor has.
const DepthwiseLoops& depthwise_loops();

}  // namespace fovea::eigen
