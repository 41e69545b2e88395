// Pooling, vectorised over the channels of a pixel.
#include <algorithm>

#include "fovea/backend/eigen/backend.h"
#include "fovea/backend/eigen/clones.h"
#include "fovea/backend/eigen/kernel.h"

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

template <class Place>
[[gnu::always_inline]] inline void largest_of_windows(const PoolShape& shape, const float* x, float* y, Place* argmax, int32_t* places) {
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
    Place* to = argmax + pixel * shape.c;
#pragma omp simd
    for (int64_t c = 0; c < shape.c; ++c) to[c] = static_cast<Place>(places[c]);
  });
}

FOVEA_CLONES void max_pool_u8(const PoolShape& shape, const float* x, float* y, uint8_t* argmax, int32_t* places) {
  largest_of_windows(shape, x, y, argmax, places);
}
FOVEA_CLONES void max_pool_u16(const PoolShape& shape, const float* x, float* y, uint16_t* argmax, int32_t* places) {
  largest_of_windows(shape, x, y, argmax, places);
}

void max_pool_forward(const MaxPoolForward& op, const Buffers& buffers, void* workspace) {
  int32_t* places = static_cast<int32_t*>(workspace);
  void* argmax = buffers.out.size() > 1 ? buffers.out[1].data : nullptr;
  if (argmax_dtype(op.shape.window) == DType::u8)
    max_pool_u8(op.shape, input(buffers, 0), output(buffers, 0), static_cast<uint8_t*>(argmax), places);
  else
    max_pool_u16(op.shape, input(buffers, 0), output(buffers, 0), static_cast<uint16_t*>(argmax), places);
}

template <class Place>
[[gnu::always_inline]] inline void add_to_largest(const PoolShape& shape, const float* dy, const Place* argmax, float* dx) {
  for_each_output(shape, [&](int64_t n, int64_t p, int64_t q, int64_t pixel) {
    float* image = dx + n * shape.h * shape.w * shape.c;
    const float* __restrict from = dy + pixel * shape.c;
    const Place* __restrict largest = argmax + pixel * shape.c;
    for_each_place(shape, p, q, [&](int64_t place, int64_t to) {
      float* __restrict values = image + to * shape.c;
#pragma omp simd
      for (int64_t c = 0; c < shape.c; ++c) values[c] += largest[c] == static_cast<Place>(place) ? from[c] : 0.0f;
    });
  });
}

FOVEA_CLONES void add_to_largest_u8(const PoolShape& shape, const float* dy, const uint8_t* argmax, float* dx) {
  add_to_largest(shape, dy, argmax, dx);
}
FOVEA_CLONES void add_to_largest_u16(const PoolShape& shape, const float* dy, const uint16_t* argmax, float* dx) {
  add_to_largest(shape, dy, argmax, dx);
}

void max_pool_backward(const MaxPoolBackward& op, const Buffers& buffers, void*) {
  float* dx = output(buffers, 0);
  const void* argmax = buffers.in[1].data;
  if (op.into == Into::overwrite) std::fill_n(dx, op.shape.x().elements(), 0.0f);
  if (argmax_dtype(op.shape.window) == DType::u8)
    add_to_largest_u8(op.shape, input(buffers, 0), static_cast<const uint8_t*>(argmax), dx);
  else
    add_to_largest_u16(op.shape, input(buffers, 0), static_cast<const uint16_t*>(argmax), dx);
}

// One over what the sum over the window of output (p, q) is divided by.
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
  if (op.into == Into::overwrite) std::fill_n(dx, op.shape.x().elements(), 0.0f);
  spread(op.shape, op.count_padding, input(buffers, 0), dx);
}

}  // namespace

KernelPtr EigenBackend::make(const MaxPoolForward& op, const Limits& limits) {
  if (!in_float(op.types)) return ReferenceBackend::make(op, limits);
  return kernel("loops", op, max_pool_forward, op.shape.c);
}
KernelPtr EigenBackend::make(const MaxPoolBackward& op, const Limits& limits) {
  if (!in_float(op.types)) return ReferenceBackend::make(op, limits);
  return kernel("loops", op, max_pool_backward);
}
KernelPtr EigenBackend::make(const AvgPoolForward& op, const Limits& limits) {
  if (!in_float(op.types)) return ReferenceBackend::make(op, limits);
  return kernel("loops", op, avg_pool_forward);
}
KernelPtr EigenBackend::make(const AvgPoolBackward& op, const Limits& limits) {
  if (!in_float(op.types)) return ReferenceBackend::make(op, limits);
  return kernel("loops", op, avg_pool_backward);
}

}  // namespace fovea::eigen
