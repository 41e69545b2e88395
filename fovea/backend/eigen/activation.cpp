// Activations and dropout, element by element.
#include "fovea/backend/dropout_mask.h"
#include "fovea/backend/eigen/backend.h"
#include "fovea/backend/eigen/clones.h"
#include "fovea/backend/eigen/elementary.h"
#include "fovea/backend/eigen/kernel.h"

namespace fovea::eigen {
namespace {

FOVEA_CLONES void relu(int64_t elements, const float* __restrict x, float* __restrict y) {
#pragma omp simd
  for (int64_t i = 0; i < elements; ++i) y[i] = x[i] <= 0 ? 0 : x[i];  // NaN stays NaN
}

FOVEA_CLONES void sigmoid(int64_t elements, const float* __restrict x, float* __restrict y) {
#pragma omp simd
  for (int64_t i = 0; i < elements; ++i) y[i] = 1.0f / (1.0f + exponential(-x[i]));
}

FOVEA_CLONES void tanh(int64_t elements, const float* __restrict x, float* __restrict y) {
#pragma omp simd
  for (int64_t i = 0; i < elements; ++i) y[i] = hyperbolic_tangent(x[i]);
}

void activation_forward(const ActivationForward& op, const Buffers& buffers, void*) {
  switch (op.activation) {
    case Activation::relu:
      return relu(op.elements, input(buffers, 0), output(buffers, 0));
    case Activation::sigmoid:
      return sigmoid(op.elements, input(buffers, 0), output(buffers, 0));
    case Activation::tanh:
      return tanh(op.elements, input(buffers, 0), output(buffers, 0));
    default:
      return;
  }
}

template <class Gradient>
[[gnu::always_inline]] inline void store_gradients(int64_t elements, Into into, float* __restrict dx, Gradient gradient) {
  if (into == Into::add) {
#pragma omp simd
    for (int64_t i = 0; i < elements; ++i) dx[i] += gradient(i);
  } else {
#pragma omp simd
    for (int64_t i = 0; i < elements; ++i) dx[i] = gradient(i);
  }
}

FOVEA_CLONES void relu_backward(int64_t elements, Into into, const float* y, const float* dy, float* dx) {
  store_gradients(
      elements, into, dx, [=](int64_t i) __attribute__((always_inline)) { return y[i] <= 0 ? 0 : dy[i]; });
}

FOVEA_CLONES void sigmoid_backward(int64_t elements, Into into, const float* y, const float* dy, float* dx) {
  store_gradients(
      elements, into, dx, [=](int64_t i) __attribute__((always_inline)) { return dy[i] * y[i] * (1 - y[i]); });
}

FOVEA_CLONES void tanh_backward(int64_t elements, Into into, const float* y, const float* dy, float* dx) {
  store_gradients(
      elements, into, dx, [=](int64_t i) __attribute__((always_inline)) { return dy[i] * (1 - y[i] * y[i]); });
}

void activation_backward(const ActivationBackward& op, const Buffers& buffers, void*) {
  switch (op.activation) {
    case Activation::relu:
      return relu_backward(op.elements, op.into, input(buffers, 0), input(buffers, 1), output(buffers, 0));
    case Activation::sigmoid:
      return sigmoid_backward(op.elements, op.into, input(buffers, 0), input(buffers, 1), output(buffers, 0));
    case Activation::tanh:
      return tanh_backward(op.elements, op.into, input(buffers, 0), input(buffers, 1), output(buffers, 0));
    default:
      return;
  }
}

// Forward and backward are the same product with the mask: four elements for each draw.
FOVEA_CLONES void apply_mask(const DropoutForward& op, const DropoutMask& mask, Into into, const float* from, float* to) {
  const int64_t blocks = (op.elements + 3) / 4;
  for (int64_t n = 0; n < op.n; ++n)
    for (int64_t block = 0; block < blocks; ++block) {
      const Random4 bits = mask.bits(op.first_sample + n, block);
      const int64_t first = n * op.elements + 4 * block, count = op.elements - 4 * block < 4 ? op.elements - 4 * block : 4;
      for (int64_t i = 0; i < count; ++i) {
        const float value = bits.v[i] >= mask.threshold ? from[first + i] * mask.scale : 0.0f;
        to[first + i] = into == Into::add ? to[first + i] + value : value;
      }
    }
}

void dropout_forward(const DropoutForward& op, const Buffers& buffers, void*) {
  apply_mask(op, dropout_mask(op, buffers.in[1].as_struct<StepControl>()), Into::overwrite, input(buffers, 0), output(buffers, 0));
}

void dropout_backward(const DropoutBackward& op, const Buffers& buffers, void*) {
  const DropoutMask mask = dropout_mask(op.forward, buffers.in[1].as_struct<StepControl>());
  apply_mask(op.forward, mask, op.into, input(buffers, 0), output(buffers, 0));
}

}  // namespace

KernelPtr EigenBackend::make(const ActivationForward& op, const Limits& limits) {
  if (!in_float(op.types) || op.activation > Activation::tanh) return ReferenceBackend::make(op, limits);
  return kernel("loops", op, activation_forward);
}
KernelPtr EigenBackend::make(const ActivationBackward& op, const Limits& limits) {
  if (!in_float(op.types) || op.activation > Activation::tanh) return ReferenceBackend::make(op, limits);
  return kernel("loops", op, activation_backward);
}
KernelPtr EigenBackend::make(const DropoutForward& op, const Limits& limits) {
  if (!in_float(op.types)) return ReferenceBackend::make(op, limits);
  return kernel("loops", op, dropout_forward);
}
KernelPtr EigenBackend::make(const DropoutBackward& op, const Limits& limits) {
  if (!in_float(op.forward.types)) return ReferenceBackend::make(op, limits);
  return kernel("loops", op, dropout_backward);
}

}  // namespace fovea::eigen
