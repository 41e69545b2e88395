// Maximum pooling with places of one byte, in vectors of channels, or of whole lines where channels are few.
// Compiled once per instruction set, as product.cpp.
#pragma once

#include <cstdint>

namespace fovea::eigen {

struct PoolLoopShape {
  int64_t n = 1, h = 1, w = 1, c = 1, p = 1, q = 1;
  int64_t r = 1, s = 1, stride_h = 1, stride_w = 1, pad_top = 0, pad_left = 0, dilation_h = 1, dilation_w = 1;
};

struct MaxPool {
  PoolLoopShape shape;
  const float* x = nullptr;
  float* y = nullptr;
  uint8_t* argmax = nullptr;     // may be absent
  int32_t* workspace = nullptr;  // max_pool_workspace
};

// dx = or += dy at each largest place; with y (may be absent) only where y, the rectified maximum, is not 0.
struct MaxPoolGradient {
  PoolLoopShape shape;
  const float* dy = nullptr;
  const uint8_t* argmax = nullptr;
  const float* y = nullptr;
  float* dx = nullptr;
  enum class Mode : uint8_t { overwrite, add } mode = Mode::overwrite;
  int32_t* workspace = nullptr;
};

struct PoolLoops {
  void (*forward)(const MaxPool&);
  void (*backward)(const MaxPoolGradient&);
};

inline int64_t max_pool_workspace(const PoolLoopShape& shape) { return 6 * (shape.w * shape.c + 16); }  // elements

// Of the best instruction set that this processor has.
const PoolLoops& pool_loops();

}  // namespace fovea::eigen
