// A pooling as the loops of pool_loops.h take it.
#pragma once

#include "fovea/backend/eigen/pool_loops.h"
#include "fovea/graph/op.h"

namespace fovea::eigen {

inline int64_t pooled_floats(const PoolShape& pool) { return pool.p() * pool.q() * pool.c; }  // of one image

inline PoolLoopShape loop_shape(const PoolShape& shape, int64_t images) {
  const Window& window = shape.window;
  return {.n = images,
          .h = shape.h,
          .w = shape.w,
          .c = shape.c,
          .p = shape.p(),
          .q = shape.q(),
          .r = window.r,
          .s = window.s,
          .stride_h = window.stride_h,
          .stride_w = window.stride_w,
          .pad_top = window.pad_top,
          .pad_left = window.pad_left,
          .dilation_h = window.dilation_h,
          .dilation_w = window.dilation_w};
}

}  // namespace fovea::eigen
