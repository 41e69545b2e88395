// Pooling: the largest or the mean of each window; padding is never the largest.
#include <cmath>

#include "fovea/backend/reference/backend.h"
#include "fovea/backend/reference/loops.h"

namespace fovea::reference {
namespace {

void write_argmax(const Tensor& argmax, int64_t element, int64_t place) {
  if (argmax.dtype == DType::u8)
    argmax.as<uint8_t>()[static_cast<size_t>(element)] = static_cast<uint8_t>(place);
  else
    argmax.as<uint16_t>()[static_cast<size_t>(element)] = static_cast<uint16_t>(place);
}

int64_t read_argmax(const Tensor& argmax, int64_t element) {
  const size_t i = static_cast<size_t>(element);
  return argmax.dtype == DType::u8 ? argmax.as<uint8_t>()[i] : argmax.as<uint16_t>()[i];
}

template <class T>
void max_pool_forward(const MaxPoolForward& op, const Buffers& buffers, void*) {
  const PoolShape& shape = op.shape;
  const auto x = view<const T>(buffers.in[0], shape.x());
  const auto y = view<T>(buffers.out[0], shape.y());
  int64_t element = 0;
  for_each(shape.y(), [&](int64_t n, int64_t p, int64_t q, int64_t c) {
    T largest = 0;
    int64_t place = -1;
    for_each_input(shape.window, shape.x(), p, q, [&](int64_t r, int64_t s, int64_t h, int64_t w) {
      const T value = x(n, h, w, c);
      if (place >= 0 && !(value > largest || (std::isnan(value) && !std::isnan(largest)))) return;
      largest = value;
      place = r * shape.window.s + s;
    });
    y(n, p, q, c) = largest;
    if (buffers.out.size() > 1) write_argmax(buffers.out[1], element, place);
    ++element;
  });
}

template <class T>
void max_pool_backward(const MaxPoolBackward& op, const Buffers& buffers, void*) {
  const PoolShape& shape = op.shape;
  const T* dy = buffers.in[0].as<T>().data();
  const auto dx = view<T>(buffers.out[0], shape.x());
  for_each(shape.x(), [&](int64_t n, int64_t h, int64_t w, int64_t c) {
    double sum = 0;
    for_each_output(shape.window, shape.y(), h, w, [&](int64_t r, int64_t s, int64_t p, int64_t q) {
      const int64_t element = ((n * shape.p() + p) * shape.q() + q) * shape.c + c;
      if (read_argmax(buffers.in[1], element) == r * shape.window.s + s) sum += static_cast<double>(dy[element]);
    });
    store(dx(n, h, w, c), op.into, sum);
  });
}

// What the sum over the window of output (p, q) is divided by.
double divisor(const PoolShape& shape, CountPadding count_padding, int64_t p, int64_t q) {
  double counted = 0;
  const auto count = [&](int64_t, int64_t, int64_t, int64_t) { ++counted; };
  if (count_padding == CountPadding::no) {
    for_each_input(shape.window, shape.x(), p, q, count);
  } else {  // the padding as part of the image
    Window window = shape.window;
    window.pad_top = window.pad_left = 0;
    const int64_t h = shape.h + shape.window.pad_top + shape.window.pad_bottom,
                  w = shape.w + shape.window.pad_left + shape.window.pad_right;
    for_each_input(window, {shape.n, h, w, shape.c}, p, q, count);
  }
  return counted;
}

template <class T>
void avg_pool_forward(const AvgPoolForward& op, const Buffers& buffers, void*) {
  const PoolShape& shape = op.shape;
  const auto x = view<const T>(buffers.in[0], shape.x());
  const auto y = view<T>(buffers.out[0], shape.y());
  for_each(shape.y(), [&](int64_t n, int64_t p, int64_t q, int64_t c) {
    double sum = 0;
    for_each_input(shape.window, shape.x(), p, q,
                   [&](int64_t, int64_t, int64_t h, int64_t w) { sum += static_cast<double>(x(n, h, w, c)); });
    y(n, p, q, c) = static_cast<T>(sum / divisor(shape, op.count_padding, p, q));
  });
}

template <class T>
void avg_pool_backward(const AvgPoolBackward& op, const Buffers& buffers, void*) {
  const PoolShape& shape = op.shape;
  const auto dy = view<const T>(buffers.in[0], shape.y());
  const auto dx = view<T>(buffers.out[0], shape.x());
  for_each(shape.x(), [&](int64_t n, int64_t h, int64_t w, int64_t c) {
    double sum = 0;
    for_each_output(shape.window, shape.y(), h, w, [&](int64_t, int64_t, int64_t p, int64_t q) {
      sum += static_cast<double>(dy(n, p, q, c)) / divisor(shape, op.count_padding, p, q);
    });
    store(dx(n, h, w, c), op.into, sum);
  });
}

}  // namespace

template <>
KernelPtr Kernels::make(const MaxPoolForward& op, const Limits&) {
  return loops(op, op.types, max_pool_forward<float>, max_pool_forward<double>);
}
template <>
KernelPtr Kernels::make(const MaxPoolBackward& op, const Limits&) {
  return loops(op, op.types, max_pool_backward<float>, max_pool_backward<double>);
}
template <>
KernelPtr Kernels::make(const AvgPoolForward& op, const Limits&) {
  return loops(op, op.types, avg_pool_forward<float>, avg_pool_forward<double>);
}
template <>
KernelPtr Kernels::make(const AvgPoolBackward& op, const Limits&) {
  return loops(op, op.types, avg_pool_backward<float>, avg_pool_backward<double>);
}

}  // namespace fovea::reference
