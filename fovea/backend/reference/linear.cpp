// Matrix products of the fully connected layer, and the bias of every layer.
#include "fovea/backend/reference/backend.h"
#include "fovea/backend/reference/loops.h"

namespace fovea::reference {
namespace {

template <class T>
void linear_forward(const LinearForward& op, const Buffers& buffers, void*) {
  const LinearShape& shape = op.shape;
  const T* x = buffers.in[0].as<T>().data();
  const T* w = buffers.in[1].as<T>().data();
  T* y = buffers.out[0].as<T>().data();
  for (int64_t n = 0; n < shape.n; ++n)
    for (int64_t k = 0; k < shape.k; ++k) {
      double sum = 0;
      for (int64_t c = 0; c < shape.c; ++c) sum += static_cast<double>(x[n * shape.c + c]) * static_cast<double>(w[k * shape.c + c]);
      y[n * shape.k + k] = static_cast<T>(sum);
    }
}

template <class T>
void linear_backward_data(const LinearBackwardData& op, const Buffers& buffers, void*) {
  const LinearShape& shape = op.shape;
  const T* dy = buffers.in[0].as<T>().data();
  const T* w = buffers.in[1].as<T>().data();
  T* dx = buffers.out[0].as<T>().data();
  for (int64_t n = 0; n < shape.n; ++n)
    for (int64_t c = 0; c < shape.c; ++c) {
      double sum = 0;
      for (int64_t k = 0; k < shape.k; ++k) sum += static_cast<double>(dy[n * shape.k + k]) * static_cast<double>(w[k * shape.c + c]);
      store(dx[n * shape.c + c], op.into, sum);
    }
}

template <class T>
void linear_backward_filter(const LinearBackwardFilter& op, const Buffers& buffers, void*) {
  const LinearShape& shape = op.shape;
  const T* x = buffers.in[0].as<T>().data();
  const T* dy = buffers.in[1].as<T>().data();
  T* dw = buffers.out[0].as<T>().data();
  for (int64_t k = 0; k < shape.k; ++k)
    for (int64_t c = 0; c < shape.c; ++c) {
      double sum = 0;
      for (int64_t n = 0; n < shape.n; ++n) sum += static_cast<double>(dy[n * shape.k + k]) * static_cast<double>(x[n * shape.c + c]);
      store(dw[k * shape.c + c], op.into, sum);
    }
}

template <class T>
void bias_forward(const BiasForward& op, const Buffers& buffers, void*) {
  const T* x = buffers.in[0].as<T>().data();
  const T* b = buffers.in[1].as<T>().data();
  T* y = buffers.out[0].as<T>().data();
  for (int64_t row = 0; row < op.rows; ++row)
    for (int64_t k = 0; k < op.k; ++k) y[row * op.k + k] = x[row * op.k + k] + b[k];
}

template <class T>
void bias_backward(const BiasBackward& op, const Buffers& buffers, void*) {
  const T* dy = buffers.in[0].as<T>().data();
  T* db = buffers.out[0].as<T>().data();
  for (int64_t k = 0; k < op.k; ++k) {
    double sum = 0;
    for (int64_t row = 0; row < op.rows; ++row) sum += static_cast<double>(dy[row * op.k + k]);
    store(db[k], op.into, sum);
  }
}

}  // namespace

template <>
KernelPtr Kernels::make(const LinearForward& op, const Limits&) {
  return loops(op, op.types, linear_forward<float>, linear_forward<double>);
}
template <>
KernelPtr Kernels::make(const LinearBackwardData& op, const Limits&) {
  return loops(op, op.types, linear_backward_data<float>, linear_backward_data<double>);
}
template <>
KernelPtr Kernels::make(const LinearBackwardFilter& op, const Limits&) {
  return loops(op, op.types, linear_backward_filter<float>, linear_backward_filter<double>);
}
template <>
KernelPtr Kernels::make(const BiasForward& op, const Limits&) {
  return loops(op, op.types, bias_forward<float>, bias_forward<double>);
}
template <>
KernelPtr Kernels::make(const BiasBackward& op, const Limits&) {
  return loops(op, op.types, bias_backward<float>, bias_backward<double>);
}

}  // namespace fovea::reference
