// Pooling, vectorised over the channels of a pixel.
#include <algorithm>

#include "fovea/backend/eigen/backend.h"
#include "fovea/backend/eigen/clones.h"
#include "fovea/backend/eigen/kernel.h"
#include "fovea/backend/eigen/pool_shape.h"

namespace fovea::eigen {
namespace {

// body(r, s, input pixel) for the places of the window of output (p, q) that lie inside the image.
template <class Body>
[[gnu::always_inline]] inline void for_each_place(const PoolShape& shape, int64_t p, int64_t q, Body body) {
  const Window& window = shape.window;
  for (int64_t r = 0; r < window.r; ++r) {
    const int64_t h = p * window.stride_h - window.pad_top + r * window.dilation_h;
    if (h < 0 || h >= shape.h) continue;
    for (int64_t s = 0; s < window.s; ++s) {
      const int64_t w = q * window.stride_w - window.pad_left + s * window.dilation_w;
      if (w >= 0 && w < shape.w) body(r * window.s + s, h * shape.w + w);
    }
  }
}

// body(n, p, q, output pixel) for every output pixel.
template <class Body>
[[gnu::always_inline]] inline void for_each_output(const PoolShape& shape, Body body) {
  int64_t pixel = 0;
  for (int64_t n = 0; n < shape.n; ++n)
    for (int64_t p = 0; p < shape.p(); ++p)
      for (int64_t q = 0; q < shape.q(); ++q) body(n, p, q, pixel++);
}

// ---- maxima with places of two bytes; pool_loops.h has those of one ----

struct Largest {
  float* __restrict value;
  int32_t* __restrict place;
};

[[gnu::always_inline]] inline void take_larger(int64_t c, const float* __restrict x, int32_t place, Largest largest) {
#pragma omp simd
  for (int64_t i = 0; i < c; ++i) {
    const bool larger = !(x[i] <= largest.value[i]) & (largest.value[i] == largest.value[i]);  // a NaN is, unless there was one before
    largest.value[i] = larger ? x[i] : largest.value[i];
    largest.place[i] = larger ? place : largest.place[i];
  }
}

FOVEA_CLONES void large_max_pool(const PoolShape& shape, const float* x, float* y, uint16_t* argmax, int32_t* places) {
  for_each_output(shape, [&](int64_t n, int64_t p, int64_t q, int64_t pixel) {
    const float* image = x + n * shape.h * shape.w * shape.c;
    const Largest largest{y + pixel * shape.c, places};
    bool first = true;
    for_each_place(shape, p, q, [&](int64_t place, int64_t from) {
      const float* values = image + from * shape.c;
      if (first) {
        std::copy_n(values, shape.c, largest.value);
        std::fill_n(largest.place, shape.c, static_cast<int32_t>(place));
        first = false;
      } else {
        take_larger(shape.c, values, static_cast<int32_t>(place), largest);
      }
    });
    if (argmax == nullptr) return;
    uint16_t* to = argmax + pixel * shape.c;
#pragma omp simd
    for (int64_t c = 0; c < shape.c; ++c) to[c] = static_cast<uint16_t>(places[c]);
  });
}

void max_pool_forward(const MaxPoolForward& op, const Buffers& buffers, void* workspace) {
  void* argmax = buffers.out.size() > 1 ? buffers.out[1].data : nullptr;
  int32_t* places = static_cast<int32_t*>(workspace);
  if (argmax_dtype(op.shape.window) == DType::u8)
    pool_loops().forward({loop_shape(op.shape, op.shape.n), input(buffers, 0), output(buffers, 0), static_cast<uint8_t*>(argmax), places});
  else
    large_max_pool(op.shape, input(buffers, 0), output(buffers, 0), static_cast<uint16_t*>(argmax), places);
}

FOVEA_CLONES void add_to_largest(const PoolShape& shape, const float* dy, const uint16_t* argmax, float* dx) {
  for_each_output(shape, [&](int64_t n, int64_t p, int64_t q, int64_t pixel) {
    float* image = dx + n * shape.h * shape.w * shape.c;
    const float* __restrict from = dy + pixel * shape.c;
    const uint16_t* __restrict largest = argmax + pixel * shape.c;
    for_each_place(shape, p, q, [&](int64_t place, int64_t to) {
      float* __restrict values = image + to * shape.c;
#pragma omp simd
      for (int64_t c = 0; c < shape.c; ++c) values[c] += largest[c] == static_cast<uint16_t>(place) ? from[c] : 0.0f;
    });
  });
}

void max_pool_backward(const MaxPoolBackward& op, const Buffers& buffers, void* workspace) {
  float* dx = output(buffers, 0);
  const void* argmax = buffers.in[1].data;
  if (argmax_dtype(op.shape.window) == DType::u8) {
    using Mode = MaxPoolGradient::Mode;
    pool_loops().backward({.shape = loop_shape(op.shape, op.shape.n),
                           .dy = input(buffers, 0),
                           .argmax = static_cast<const uint8_t*>(argmax),
                           .dx = dx,
                           .mode = op.into == Into::add ? Mode::add : Mode::overwrite,
                           .workspace = static_cast<int32_t*>(workspace)});
    return;
  }
  if (op.into == Into::overwrite) std::fill_n(dx, buffers.out[0].shape.elements(), 0.0f);
  add_to_largest(op.shape, input(buffers, 0), static_cast<const uint16_t*>(argmax), dx);
}

// ---- averages ----

// What the sum over the window of output (p, q) is divided by.
[[gnu::always_inline]] inline float divisor(const PoolShape& shape, CountPadding count_padding, int64_t p, int64_t q) {
  if (count_padding == CountPadding::yes) return static_cast<float>(shape.window.r * shape.window.s);
  int64_t inside = 0;
  for_each_place(shape, p, q, [&](int64_t, int64_t) { ++inside; });
  return static_cast<float>(inside);
}

FOVEA_CLONES void average(const PoolShape& shape, CountPadding count_padding, const float* x, float* y) {
  for_each_output(shape, [&](int64_t n, int64_t p, int64_t q, int64_t pixel) {
    const float* image = x + n * shape.h * shape.w * shape.c;
    float* __restrict mean = y + pixel * shape.c;
    for (int64_t c = 0; c < shape.c; ++c) mean[c] = 0;
    for_each_place(shape, p, q, [&](int64_t, int64_t from) {
      const float* __restrict values = image + from * shape.c;
#pragma omp simd
      for (int64_t c = 0; c < shape.c; ++c) mean[c] += values[c];
    });
    const float count = divisor(shape, count_padding, p, q);
#pragma omp simd
    for (int64_t c = 0; c < shape.c; ++c) mean[c] /= count;
  });
}

FOVEA_CLONES void spread(const PoolShape& shape, CountPadding count_padding, const float* dy, float* dx) {
  for_each_output(shape, [&](int64_t n, int64_t p, int64_t q, int64_t pixel) {
    float* image = dx + n * shape.h * shape.w * shape.c;
    const float* __restrict from = dy + pixel * shape.c;
    const float count = divisor(shape, count_padding, p, q);
    for_each_place(shape, p, q, [&](int64_t, int64_t to) {
      float* __restrict values = image + to * shape.c;
#pragma omp simd
      for (int64_t c = 0; c < shape.c; ++c) values[c] += from[c] / count;
    });
  });
}

void avg_pool_forward(const AvgPoolForward& op, const Buffers& buffers, void*) {
  average(op.shape, op.count_padding, input(buffers, 0), output(buffers, 0));
}

void avg_pool_backward(const AvgPoolBackward& op, const Buffers& buffers, void*) {
  float* dx = output(buffers, 0);
  if (op.into == Into::overwrite) std::fill_n(dx, buffers.out[0].shape.elements(), 0.0f);
  spread(op.shape, op.count_padding, input(buffers, 0), dx);
}

}  // namespace

KernelPtr EigenBackend::make(const MaxPoolForward& op, const Limits& limits) {
  if (!in_float(op.types) || op.shape.rounding == Rounding::ceil) return ReferenceBackend::make(op, limits);
  return kernel("loops", op, max_pool_forward, max_pool_workspace(loop_shape(op.shape, op.shape.n)));
}
KernelPtr EigenBackend::make(const MaxPoolBackward& op, const Limits& limits) {
  if (!in_float(op.types) || op.shape.rounding == Rounding::ceil) return ReferenceBackend::make(op, limits);
  return kernel("loops", op, max_pool_backward, max_pool_workspace(loop_shape(op.shape, op.shape.n)));
}
KernelPtr EigenBackend::make(const AvgPoolForward& op, const Limits& limits) {
  if (!in_float(op.types) || op.shape.rounding == Rounding::ceil) return ReferenceBackend::make(op, limits);
  return kernel("loops", op, avg_pool_forward);
}
KernelPtr EigenBackend::make(const AvgPoolBackward& op, const Limits& limits) {
  if (!in_float(op.types) || op.shape.rounding == Rounding::ceil) return ReferenceBackend::make(op, limits);
  return kernel("loops", op, avg_pool_backward);
}

}  // namespace fovea::eigen
