// Where branches meet: sums, concatenations, and shortcuts past layers that shrink the image.
#include "fovea/backend/reference/backend.h"
#include "fovea/backend/reference/loops.h"

namespace fovea::reference {
namespace {

template <class T>
void add(const Add& op, const Buffers& buffers, void*) {
  const T* a = buffers.in[0].as<T>().data();
  const T* b = buffers.in[1].as<T>().data();
  T* y = buffers.out[0].as<T>().data();
  for (int64_t i = 0; i < op.elements; ++i) y[i] = static_cast<T>(static_cast<double>(a[i]) + static_cast<double>(b[i]));
}

template <class T>
void concat_forward(const ConcatForward& op, const Buffers& buffers, void*) {
  T* y = buffers.out[0].as<T>().data();
  for (int part = 0; part < static_cast<int>(op.channels.size()); ++part) {
    const T* x = buffers.in[static_cast<size_t>(part)].as<T>().data();
    const int64_t channels = op.channels[static_cast<size_t>(part)], first = op.first(part);
    for (int64_t row = 0; row < op.rows; ++row)
      for (int64_t c = 0; c < channels; ++c) y[row * op.c() + first + c] = x[row * channels + c];
  }
}

template <class T>
void concat_backward(const ConcatBackward& op, const Buffers& buffers, void*) {
  const ConcatForward& forward = op.forward;
  const T* dy = buffers.in[0].as<T>().data();
  T* dx = buffers.out[0].as<T>().data();
  const int64_t channels = forward.channels[static_cast<size_t>(op.part)], first = forward.first(op.part);
  for (int64_t row = 0; row < forward.rows; ++row)
    for (int64_t c = 0; c < channels; ++c) store(dx[row * channels + c], op.into, static_cast<double>(dy[row * forward.c() + first + c]));
}

template <class T>
void shortcut_forward(const ShortcutForward& op, const Buffers& buffers, void*) {
  const ShortcutShape& shape = op.shape;
  const auto x = view<const T>(buffers.in[0], shape.x());
  const auto y = view<T>(buffers.out[0], shape.y());
  for_each(shape.y(), [&](int64_t n, int64_t p, int64_t q, int64_t k) {
    const int64_t c = k - shape.first();
    y(n, p, q, k) = c >= 0 && c < shape.c ? x(n, p * shape.stride, q * shape.stride, c) : T{0};
  });
}

template <class T>
void shortcut_backward(const ShortcutBackward& op, const Buffers& buffers, void*) {
  const ShortcutShape& shape = op.shape;
  const auto dy = view<const T>(buffers.in[0], shape.y());
  const auto dx = view<T>(buffers.out[0], shape.x());
  for_each(shape.x(), [&](int64_t n, int64_t h, int64_t w, int64_t c) {
    const bool taken = h % shape.stride == 0 && w % shape.stride == 0;
    store(dx(n, h, w, c), op.into, taken ? static_cast<double>(dy(n, h / shape.stride, w / shape.stride, shape.first() + c)) : 0);
  });
}

}  // namespace

template <>
KernelPtr Kernels::make(const Add& op, const Limits&) {
  return loops(op, op.types, add<float>, add<double>);
}
template <>
KernelPtr Kernels::make(const ConcatForward& op, const Limits&) {
  return loops(op, op.types, concat_forward<float>, concat_forward<double>);
}
template <>
KernelPtr Kernels::make(const ConcatBackward& op, const Limits&) {
  return loops(op, op.forward.types, concat_backward<float>, concat_backward<double>);
}
template <>
KernelPtr Kernels::make(const ShortcutForward& op, const Limits&) {
  return loops(op, op.types, shortcut_forward<float>, shortcut_forward<double>);
}
template <>
KernelPtr Kernels::make(const ShortcutBackward& op, const Limits&) {
  return loops(op, op.types, shortcut_backward<float>, shortcut_backward<double>);
}

}  // namespace fovea::reference
