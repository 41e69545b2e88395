// Activations and dropout, element by element.
#include <cmath>
#include <numbers>

#include "fovea/backend/dropout_mask.h"
#include "fovea/backend/reference/backend.h"
#include "fovea/backend/reference/loops.h"

namespace fovea::reference {
namespace {

double phi(double x) { return std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi); }  // density of the normal distribution
double Phi(double x) { return (1 + std::erf(x / std::numbers::sqrt2)) / 2; }             // its integral
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// The tangent of gelu_tanh and the argument's derivative.
struct Bend {
  double tanh, slope;
};
Bend bend(double x) {
  const double root = std::sqrt(2 / std::numbers::pi);
  return {std::tanh(root * (x + 0.044715 * x * x * x)), root * (1 + 3 * 0.044715 * x * x)};
}

double value_of(const ActivationForward& op, double x) {
  switch (op.activation) {
    case Activation::relu:
      return x <= 0 ? 0 : x;  // NaN stays NaN
    case Activation::sigmoid:
      return sigmoid(x);
    case Activation::tanh:
      return std::tanh(x);
    case Activation::leaky_relu:
      return x <= 0 ? static_cast<double>(op.slope) * x : x;
    case Activation::gelu:
      return x * Phi(x);
    case Activation::gelu_tanh:
      return x / 2 * (1 + bend(x).tanh);
    case Activation::silu:
      return x * sigmoid(x);
  }
  throw Error(ExitCode::internal, fmt::format("there is no activation {}", static_cast<int>(op.activation)));
}

// `saved` is y, or x where gradient_reads_input says so.
double gradient_of(const ActivationBackward& op, double saved) {
  switch (op.activation) {
    case Activation::relu:
      return saved <= 0 ? 0 : 1;
    case Activation::sigmoid:
      return saved * (1 - saved);
    case Activation::tanh:
      return 1 - saved * saved;
    case Activation::leaky_relu:
      return saved <= 0 ? static_cast<double>(op.slope) : 1;
    case Activation::gelu:
      return Phi(saved) + saved * phi(saved);
    case Activation::gelu_tanh: {
      const Bend at = bend(saved);
      return (1 + at.tanh) / 2 + saved / 2 * (1 - at.tanh * at.tanh) * at.slope;
    }
    case Activation::silu:
      return sigmoid(saved) * (1 + saved * (1 - sigmoid(saved)));
  }
  throw Error(ExitCode::internal, fmt::format("there is no activation {}", static_cast<int>(op.activation)));
}

template <class T>
void activation_forward(const ActivationForward& op, const Buffers& buffers, void*) {
  const T* x = buffers.in[0].as<T>().data();
  T* y = buffers.out[0].as<T>().data();
  for (int64_t i = 0; i < op.elements; ++i) y[i] = static_cast<T>(value_of(op, static_cast<double>(x[i])));
}

template <class T>
void activation_backward(const ActivationBackward& op, const Buffers& buffers, void*) {
  const T* saved = buffers.in[0].as<T>().data();
  const T* dy = buffers.in[1].as<T>().data();
  T* dx = buffers.out[0].as<T>().data();
  for (int64_t i = 0; i < op.elements; ++i)
    store(dx[i], op.into, static_cast<double>(dy[i]) * gradient_of(op, static_cast<double>(saved[i])));
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
