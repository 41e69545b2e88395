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

// body(n, p, q, output pixel) for every output pixel of some images.
template <class Body>
[[gnu::always_inline]] inline void for_each_output(const PoolShape& shape, const Range& images, Body body) {
  const int64_t p_count = shape.p(), q_count = shape.q();
  int64_t pixel = images.first * p_count * q_count;
  for (int64_t n = images.first; n < images.first + images.count; ++n)
    for (int64_t p = 0; p < p_count; ++p)
      for (int64_t q = 0; q < q_count; ++q) body(n, p, q, pixel++);
}

int64_t input_floats(const PoolShape& shape) { return shape.h * shape.w * shape.c; }  // of one image
int64_t output_floats(const PoolShape& shape) { return shape.p() * shape.q() * shape.c; }

void clear(const PoolShape& shape, const Range& images, float* dx) {
  std::fill_n(dx + images.first * input_floats(shape), images.count * input_floats(shape), 0.0f);
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

struct LargeMaxPool {
  const float* x;
  float* y;
  uint16_t* argmax;  // may be absent
  int32_t* places;
};

FOVEA_CLONES void large_max_pool(const PoolShape& shape, const Range& images, const LargeMaxPool& pool) {
  for_each_output(shape, images, [&](int64_t n, int64_t p, int64_t q, int64_t pixel) {
    const float* image = pool.x + n * shape.h * shape.w * shape.c;
    const Largest largest{pool.y + pixel * shape.c, pool.places};
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
    if (pool.argmax == nullptr) return;
    uint16_t* to = pool.argmax + pixel * shape.c;
#pragma omp simd
    for (int64_t c = 0; c < shape.c; ++c) to[c] = static_cast<uint16_t>(pool.places[c]);
  });
}

FOVEA_CLONES void add_to_largest(const PoolShape& shape, const Range& images, const float* dy, const uint16_t* argmax, float* dx) {
  for_each_output(shape, images, [&](int64_t n, int64_t p, int64_t q, int64_t pixel) {
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

// ---- averages ----

// How many of `places` places of a window that begins at `first` lie within [0, size).
[[gnu::always_inline]] inline int64_t within(int64_t first, int64_t places, int64_t dilation, int64_t size) {
  int64_t count = 0;
  for (int64_t i = 0; i < places; ++i) count += first + i * dilation >= 0 && first + i * dilation < size;
  return count;
}

// What the sum over the window of output (p, q) is divided by: with counted padding the image is as large as it and its padding.
[[gnu::always_inline]] inline float divisor(const PoolShape& shape, CountPadding count_padding, int64_t p, int64_t q) {
  const Window& window = shape.window;
  const bool counts = count_padding == CountPadding::yes;
  const int64_t first_h = p * window.stride_h - (counts ? 0 : window.pad_top),
                first_w = q * window.stride_w - (counts ? 0 : window.pad_left);
  const int64_t h = shape.h + (counts ? window.pad_top + window.pad_bottom : 0),
                w = shape.w + (counts ? window.pad_left + window.pad_right : 0);
  return static_cast<float>(within(first_h, window.r, window.dilation_h, h) * within(first_w, window.s, window.dilation_w, w));
}

FOVEA_CLONES void average(const PoolShape& shape, CountPadding count_padding, const Range& images, const float* x, float* y) {
  for_each_output(shape, images, [&](int64_t n, int64_t p, int64_t q, int64_t pixel) {
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

FOVEA_CLONES void spread(const PoolShape& shape, CountPadding count_padding, const Range& images, const float* dy, float* dx) {
  for_each_output(shape, images, [&](int64_t n, int64_t p, int64_t q, int64_t pixel) {
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

Units units(const PoolShape& shape, int64_t workspace_floats) {
  return {shape.n, input_floats(shape) + 2 * output_floats(shape), workspace_floats};
}

}  // namespace

template <>
Units units_of(const MaxPoolForward& op) {
  return units(op.shape, max_pool_workspace(loop_shape(op.shape, 1)));
}
template <>
void run_part(const MaxPoolForward& op, const Range& images, const Buffers& buffers, void* workspace) {
  const PoolShape& shape = op.shape;
  const int64_t from = images.first * input_floats(shape), to = images.first * output_floats(shape);
  const bool keeps_places = buffers.out.size() > 1;
  int32_t* places = static_cast<int32_t*>(workspace);
  if (argmax_dtype(shape.window) == DType::u8) {
    uint8_t* argmax = keeps_places ? buffers.out[1].as<uint8_t>().data() + to : nullptr;
    pool_loops().forward({loop_shape(shape, images.count), input(buffers, 0) + from, output(buffers, 0) + to, argmax, places});
    return;
  }
  uint16_t* argmax = keeps_places ? buffers.out[1].as<uint16_t>().data() : nullptr;
  large_max_pool(shape, images, {input(buffers, 0), output(buffers, 0), argmax, places});
}

template <>
Units units_of(const MaxPoolBackward& op) {
  return units(op.shape, max_pool_workspace(loop_shape(op.shape, 1)));
}
template <>
void run_part(const MaxPoolBackward& op, const Range& images, const Buffers& buffers, void* workspace) {
  const PoolShape& shape = op.shape;
  if (argmax_dtype(shape.window) == DType::u8) {
    using Mode = MaxPoolGradient::Mode;
    const int64_t from = images.first * output_floats(shape);
    pool_loops().backward({.shape = loop_shape(shape, images.count),
                           .dy = input(buffers, 0) + from,
                           .argmax = buffers.in[1].as<uint8_t>().data() + from,
                           .dx = output(buffers, 0) + images.first * input_floats(shape),
                           .mode = op.into == Into::add ? Mode::add : Mode::overwrite,
                           .workspace = static_cast<int32_t*>(workspace)});
    return;
  }
  if (op.into == Into::overwrite) clear(shape, images, output(buffers, 0));
  add_to_largest(shape, images, input(buffers, 0), buffers.in[1].as<uint16_t>().data(), output(buffers, 0));
}

template <>
Units units_of(const AvgPoolForward& op) {
  return units(op.shape, 0);
}
template <>
void run_part(const AvgPoolForward& op, const Range& images, const Buffers& buffers, void*) {
  average(op.shape, op.count_padding, images, input(buffers, 0), output(buffers, 0));
}

template <>
Units units_of(const AvgPoolBackward& op) {
  return units(op.shape, 0);
}
template <>
void run_part(const AvgPoolBackward& op, const Range& images, const Buffers& buffers, void*) {
  if (op.into == Into::overwrite) clear(op.shape, images, output(buffers, 0));
  spread(op.shape, op.count_padding, images, input(buffers, 0), output(buffers, 0));
}

KernelPtr EigenBackend::make(const MaxPoolForward& op, const Limits& limits) {
  return in_float(op.types) ? loops(op) : ReferenceBackend::make(op, limits);
}
KernelPtr EigenBackend::make(const MaxPoolBackward& op, const Limits& limits) {
  return in_float(op.types) ? loops(op) : ReferenceBackend::make(op, limits);
}
KernelPtr EigenBackend::make(const AvgPoolForward& op, const Limits& limits) {
  return in_float(op.types) ? loops(op) : ReferenceBackend::make(op, limits);
}
KernelPtr EigenBackend::make(const AvgPoolBackward& op, const Limits& limits) {
  return in_float(op.types) ? loops(op) : ReferenceBackend::make(op, limits);
}

}  // namespace fovea::eigen
