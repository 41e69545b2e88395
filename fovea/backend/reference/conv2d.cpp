// Convolution by its definition: y(n,p,q,k) = sum_rsc x(n, p stride - pad + r dilation, q ..., c) w(k,r,s,c), and the transposes of that
// sum.
#include "fovea/backend/reference/backend.h"
#include "fovea/backend/reference/loops.h"

namespace fovea::reference {
namespace {

template <class T>
void conv2d_forward(const Conv2dForward& op, const Buffers& buffers, void*) {
  const Conv2dShape& shape = op.shape;
  const auto x = view<const T>(buffers.in[0], shape.x());
  const auto w = view<const T>(buffers.in[1], shape.filter());
  const auto y = view<T>(buffers.out[0], shape.y());
  const int64_t group_c = shape.c / shape.groups, group_k = shape.k / shape.groups;
  for_each(shape.y(), [&](int64_t n, int64_t p, int64_t q, int64_t k) {
    const int64_t first_c = k / group_k * group_c;
    double sum = 0;
    for_each_input(shape.window, shape.x(), p, q, [&](int64_t r, int64_t s, int64_t h, int64_t column) {
      for (int64_t c = 0; c < group_c; ++c) sum += static_cast<double>(x(n, h, column, first_c + c)) * static_cast<double>(w(k, r, s, c));
    });
    y(n, p, q, k) = static_cast<T>(sum);
  });
}

template <class T>
void conv2d_backward_data(const Conv2dBackwardData& op, const Buffers& buffers, void*) {
  const Conv2dShape& shape = op.shape;
  const auto dy = view<const T>(buffers.in[0], shape.y());
  const auto w = view<const T>(buffers.in[1], shape.filter());
  const auto dx = view<T>(buffers.out[0], shape.x());
  const int64_t group_c = shape.c / shape.groups, group_k = shape.k / shape.groups;
  for_each(shape.x(), [&](int64_t n, int64_t h, int64_t column, int64_t c) {
    const int64_t first_k = c / group_c * group_k;
    double sum = 0;
    for_each_output(shape.window, shape.y(), h, column, [&](int64_t r, int64_t s, int64_t p, int64_t q) {
      for (int64_t k = first_k; k < first_k + group_k; ++k)
        sum += static_cast<double>(dy(n, p, q, k)) * static_cast<double>(w(k, r, s, c % group_c));
    });
    store(dx(n, h, column, c), op.into, sum);
  });
}

template <class T>
void conv2d_backward_filter(const Conv2dBackwardFilter& op, const Buffers& buffers, void*) {
  const Conv2dShape& shape = op.shape;
  const Window& window = shape.window;
  const auto x = view<const T>(buffers.in[0], shape.x());
  const auto dy = view<const T>(buffers.in[1], shape.y());
  const auto dw = view<T>(buffers.out[0], shape.filter());
  const int64_t group_c = shape.c / shape.groups, group_k = shape.k / shape.groups;
  for_each(shape.filter(), [&](int64_t k, int64_t r, int64_t s, int64_t c) {
    double sum = 0;
    for_each({shape.n, shape.p(), shape.q(), 1}, [&](int64_t n, int64_t p, int64_t q, int64_t) {
      const int64_t h = p * window.stride_h - window.pad_top + r * window.dilation_h;
      const int64_t column = q * window.stride_w - window.pad_left + s * window.dilation_w;
      if (h < 0 || h >= shape.h || column < 0 || column >= shape.w) return;
      sum += static_cast<double>(x(n, h, column, k / group_k * group_c + c)) * static_cast<double>(dy(n, p, q, k));
    });
    store(dw(k, r, s, c), op.into, sum);
  });
}

}  // namespace

template <>
KernelPtr Kernels::make(const Conv2dForward& op, const Limits&) {
  return loops(op, op.types, conv2d_forward<float>, conv2d_forward<double>);
}
template <>
KernelPtr Kernels::make(const Conv2dBackwardData& op, const Limits&) {
  return loops(op, op.types, conv2d_backward_data<float>, conv2d_backward_data<double>);
}
template <>
KernelPtr Kernels::make(const Conv2dBackwardFilter& op, const Limits&) {
  return loops(op, op.types, conv2d_backward_filter<float>, conv2d_backward_filter<double>);
}

}  // namespace fovea::reference
