// What the loops of the reference share: the choice between float and double, views with indices, storing with one rounding.
#pragma once

#include <fmt/format.h>

#include "fovea/backend/host_kernel.h"
#include "fovea/base/error.h"

namespace fovea::reference {

template <class Op>
using Function = void (*)(const Op&, const Buffers&, void*);

[[noreturn]] inline void refuse_types(const Op& op, const Types& types) {
  throw Error(ExitCode::internal, fmt::format("`reference` has no {} for x {}, w {}, y {}: all must be f32, or all f64", name_of(op),
                                              name_of(types.x), name_of(types.w), name_of(types.y)));
}

template <class Op>
KernelPtr loops(const Op& op, const Types& types, Function<Op> in_float, Function<Op> in_double) {
  const bool uniform = types.x == types.y && types.w == types.y;
  if (uniform && types.y == DType::f32) return host_kernel("reference", "loops", op, in_float);
  if (uniform && types.y == DType::f64) return host_kernel("reference", "loops", op, in_double);
  refuse_types(op, types);
}

// A tensor of four axes.
template <class T>
struct View {
  T* data;
  int64_t b, c, d;  // sizes of the last three axes
  T& operator()(int64_t i, int64_t j, int64_t k, int64_t l) const { return data[((i * b + j) * c + k) * d + l]; }
};
template <class T>
View<T> view(const Tensor& tensor, const Shape& shape) {
  return {tensor.as<std::remove_const_t<T>>().data(), shape[1], shape[2], shape[3]};
}

template <class Body>
void for_each(const Shape& shape, Body body) {
  for (int64_t i = 0; i < shape[0]; ++i)
    for (int64_t j = 0; j < shape[1]; ++j)
      for (int64_t k = 0; k < shape[2]; ++k)
        for (int64_t l = 0; l < shape[3]; ++l) body(i, j, k, l);
}

template <class T>
void store(T& place, Into into, double value) {
  place = static_cast<T>(into == Into::add ? static_cast<double>(place) + value : value);
}

// The input places under output (p, q): body(r, s, h, w) for those inside the image.
template <class Body>
void for_each_input(const Window& window, const Shape& x, int64_t p, int64_t q, Body body) {
  for (int64_t r = 0; r < window.r; ++r)
    for (int64_t s = 0; s < window.s; ++s) {
      const int64_t h = p * window.stride_h - window.pad_top + r * window.dilation_h;
      const int64_t w = q * window.stride_w - window.pad_left + s * window.dilation_w;
      if (h >= 0 && h < x[1] && w >= 0 && w < x[2]) body(r, s, h, w);
    }
}

// The outputs whose window covers input (h, w): body(r, s, p, q).
template <class Body>
void for_each_output(const Window& window, const Shape& y, int64_t h, int64_t w, Body body) {
  for (int64_t r = 0; r < window.r; ++r)
    for (int64_t s = 0; s < window.s; ++s) {
      const int64_t from_h = h + window.pad_top - r * window.dilation_h, from_w = w + window.pad_left - s * window.dilation_w;
      if (from_h < 0 || from_w < 0 || from_h % window.stride_h != 0 || from_w % window.stride_w != 0) continue;
      const int64_t p = from_h / window.stride_h, q = from_w / window.stride_w;
      if (p < y[1] && q < y[2]) body(r, s, p, q);
    }
}

}  // namespace fovea::reference
