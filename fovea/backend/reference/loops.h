// What the loops of the reference share: the choice of types, views with indices, storing with one rounding.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "fovea/backend/host_kernel.h"
#include "fovea/base/error.h"
#include "fovea/tensor/convert.h"

namespace fovea::reference {

template <class Op>
using Function = void (*)(const Op&, const Buffers&, void*);

[[noreturn]] inline void refuse_types(const Op& op, const Types& types) {
  throw Error(ExitCode::internal, fmt::format("`reference` has no {} for x {}, w {}, y {}: all must be f64, or each f32, bf16 or fp16",
                                              name_of(op), name_of(types.x), name_of(types.w), name_of(types.y)));
}

// The loops in double between tensors of any types: what they read is widened into the workspace, what they write is rounded once.
template <class Op>
class Widened final : public Kernel {
 public:
  Widened(Op op, Function<Op> in_double) : Kernel("reference"), op_(std::move(op)), in_double_(in_double) {}

  std::string algorithm() const override { return "loops in double"; }
  size_t workspace_bytes() const override {
    size_t bytes = 0;
    for (const std::vector<graph::Type>& types : {graph::inputs_of(op_), graph::outputs_of(op_)})
      for (const graph::Type& type : types)
        if (is_floating(type.dtype)) bytes += static_cast<size_t>(type.shape.elements()) * sizeof(double);
    return bytes;
  }
  void bind(Buffers buffers, void* workspace) override {
    given_ = wide_ = std::move(buffers);
    double* next = static_cast<double*>(workspace);
    for (std::vector<Tensor>* side : {&wide_.in, &wide_.out})
      for (Tensor& tensor : *side)
        if (is_floating(tensor.dtype)) {
          tensor = {next, DType::f64, tensor.shape};
          next += tensor.shape.elements();
        }
  }
  void run(Stream&) override {
    const auto copy = [](const Tensor& from, const Tensor& to) {
      if (from.data != to.data) convert(from, to);
    };
    for (size_t i = 0; i < given_.in.size(); ++i) copy(given_.in[i], wide_.in[i]);
    for (size_t i = 0; i < given_.out.size(); ++i) copy(given_.out[i], wide_.out[i]);  // what is added to
    in_double_(op_, wide_, nullptr);
    for (size_t i = 0; i < given_.out.size(); ++i) copy(wide_.out[i], given_.out[i]);
  }

 private:
  Op op_;
  Function<Op> in_double_;
  Buffers given_, wide_;
};

template <class Op>
KernelPtr loops(const Op& op, const Types& types, Function<Op> in_float, Function<Op> in_double) {
  const std::array all = {types.x, types.w, types.y};
  const auto each = [&](auto is) { return std::all_of(all.begin(), all.end(), is); };
  if (each([](DType dtype) { return dtype == DType::f32; })) return host_kernel("reference", "loops", op, in_float);
  if (each([](DType dtype) { return dtype == DType::f64; })) return host_kernel("reference", "loops", op, in_double);
  if (each([](DType dtype) { return dtype == DType::f32 || is_small_float(dtype); })) return std::make_unique<Widened<Op>>(op, in_double);
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
