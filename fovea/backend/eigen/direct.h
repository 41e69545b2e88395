// Direct convolution in plain loops: a tile of pixels (or of places of the filter) by vectors of output channels is held in registers.
// Compiled once per instruction set, as product.cpp.
#pragma once

#include <cstdint>

namespace fovea::eigen {

// One group of a convolution over images that have their padding around them. Steps are in floats of x.
struct DirectShape {
  int64_t n = 1, p = 1, q = 1, k = 1;
  int64_t lines = 1, places = 1, run = 1;  // the window: lines of places of `run` floats next to each other
  int64_t n_step = 0, p_step = 0, q_step = 0, line_step = 0, place_step = 0;
  int64_t y_stride = 1;  // floats of y from one output pixel to the next
  int64_t taps() const { return lines * places * run; }
};

enum class Rectify : uint8_t { no, yes };

struct DirectForward {
  DirectShape shape;
  const float* x = nullptr;
  const float* packed = nullptr;  // filter and bias
  Rectify rectify = Rectify::no;
  float* y = nullptr;
};

// Adds to `packed`. Whole vectors of dy are read: `lanes` floats behind its last row have to be readable.
struct DirectFilter {
  DirectShape shape;
  const float* x = nullptr;
  const float* dy = nullptr;
  float* packed = nullptr;
};

// Filters in panels of one or two vectors of output channels: the biases of the panel, then its filter tap by tap, zero where k ends.
struct Packing {
  int64_t k = 1, taps = 1;
};

struct DirectLoops {
  int lanes;                                                                       // floats in a vector
  void (*pack)(const Packing&, const float* w, const float* bias, float* packed);  // w (k, taps); bias may be absent
  void (*add_unpacked)(const Packing&, const float* packed, float* w);             // w += the filter in packed
  void (*forward)(const DirectForward&);
  void (*filter)(const DirectFilter&);
  int64_t packed_floats(const Packing& packing) const { return (packing.k + lanes - 1) / lanes * lanes * (packing.taps + 1); }
};

// Of the best instruction set that this processor has.
const DirectLoops& direct_loops();

}  // namespace fovea::eigen
