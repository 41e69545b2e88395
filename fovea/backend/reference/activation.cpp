// Activations and dropout, element by element.
#include <cmath>

#include "fovea/backend/dropout_mask.h"
#include "fovea/backend/reference/backend.h"
#include "fovea/backend/reference/loops.h"

namespace fovea::reference {
namespace {

double value_of(Activation activation, double x) {
  switch (activation) {
    case Activation::relu:
      return x <= 0 ? 0 : x;  // NaN stays NaN
    case Activation::sigmoid:
      return 1 / (1 + std::exp(-x));
    case Activation::tanh:
      return std::tanh(x);
  }
  throw Error(ExitCode::internal, fmt::format("there is no activation {}", static_cast<int>(activation)));
}

double gradient_of(Activation activation, double y, double dy) {
  switch (activation) {
    case Activation::relu:
      return y <= 0 ? 0 : dy;
    case Activation::sigmoid:
      return dy * y * (1 - y);
    case Activation::tanh:
      return dy * (1 - y * y);
  }
  throw Error(ExitCode::internal, fmt::format("there is no activation {}", static_cast<int>(activation)));
}

template <class T>
void activation_forward(const ActivationForward& op, const Buffers& buffers, void*) {
  const T* x = buffers.in[0].as<T>().data();
  T* y = buffers.out[0].as<T>().data();
  for (int64_t i = 0; i < op.elements; ++i) y[i] = static_cast<T>(value_of(op.activation, static_cast<double>(x[i])));
}

template <class T>
void activation_backward(const ActivationBackward& op, const Buffers& buffers, void*) {
  const T* y = buffers.in[0].as<T>().data();
  const T* dy = buffers.in[1].as<T>().data();
  T* dx = buffers.out[0].as<T>().data();
  for (int64_t i = 0; i < op.elements; ++i)
    store(dx[i], op.into, gradient_of(op.activation, static_cast<double>(y[i]), static_cast<double>(dy[i])));
}

// Forward and backward are the same product with the mask.
template <class T>
void apply_mask(const DropoutForward& op, Into into, const Buffers& buffers) {
  const DropoutMask mask = dropout_mask(op, buffers.in[1].as_struct<StepControl>());
  const T* from = buffers.in[0].as<T>().data();
  T* to = buffers.out[0].as<T>().data();
  for (int64_t i = 0; i < op.n; ++i)
    for (int64_t element = 0; element < op.elements; ++element) {
      const int64_t place = i * op.elements + element;
      const double kept = static_cast<double>(from[place]) * static_cast<double>(mask.scale);
      store(to[place], into, mask.keeps(op.first_sample + i, element) ? kept : 0);
    }
}

template <class T>
void dropout_forward(const DropoutForward& op, const Buffers& buffers, void*) {
  apply_mask<T>(op, Into::overwrite, buffers);
}
template <class T>
void dropout_backward(const DropoutBackward& op, const Buffers& buffers, void*) {
  apply_mask<T>(op.forward, op.into, buffers);
}

}  // namespace

template <>
KernelPtr Kernels::make(const ActivationForward& op, const Limits&) {
  return loops(op, op.types, activation_forward<float>, activation_forward<double>);
}
template <>
KernelPtr Kernels::make(const ActivationBackward& op, const Limits&) {
  return loops(op, op.types, activation_backward<float>, activation_backward<double>);
}
template <>
KernelPtr Kernels::make(const DropoutForward& op, const Limits&) {
  return loops(op, op.types, dropout_forward<float>, dropout_forward<double>);
}
template <>
KernelPtr Kernels::make(const DropoutBackward& op, const Limits&) {
  return loops(op, op.forward.types, dropout_backward<float>, dropout_backward<double>);
}

}  // namespace fovea::reference
