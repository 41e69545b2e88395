// Activations and dropout, element by element.
#include "fovea/backend/dropout_mask.h"
#include "fovea/backend/eigen/backend.h"
#include "fovea/backend/eigen/clones.h"
#include "fovea/backend/eigen/elementary.h"
#include "fovea/backend/eigen/kernel.h"

namespace fovea::eigen {
namespace {

template <Activation activation>
[[gnu::always_inline]] inline float value_of(float x, float slope) {
  if constexpr (activation == Activation::relu) return x <= 0 ? 0 : x;  // NaN stays NaN
  if constexpr (activation == Activation::sigmoid) return logistic(x);
  if constexpr (activation == Activation::tanh) return hyperbolic_tangent(x);
  if constexpr (activation == Activation::leaky_relu) return x <= 0 ? slope * x : x;
  if constexpr (activation == Activation::gelu) return x * gaussian(x).integral;
  if constexpr (activation == Activation::gelu_tanh) return x * logistic(1.59576912f * (x + 0.044715f * x * x * x));  // 2 sqrt(2 / pi)
  if constexpr (activation == Activation::silu) return x * logistic(x);
}

// `saved` is y, or x where gradient_reads_input says so. Without gradient the element gives 0, as if nothing came in.
template <Activation activation>
[[gnu::always_inline]] inline float gradient_of(float saved, float dy, float slope) {
  if constexpr (activation == Activation::relu) return saved <= 0 ? 0 : dy;
  if constexpr (activation == Activation::sigmoid) return dy * saved * (1 - saved);
  if constexpr (activation == Activation::tanh) return dy * (1 - saved * saved);
  if constexpr (activation == Activation::leaky_relu) return saved <= 0 ? slope * dy : dy;
  if constexpr (activation == Activation::gelu) {
    const Gaussian at = gaussian(saved);
    return dy * (at.integral + saved * at.density);
  }
  if constexpr (activation == Activation::gelu_tanh) {
    const float square = saved * saved, sigma = logistic(1.59576912f * (saved + 0.044715f * saved * square));
    return dy * (sigma + saved * sigma * (1 - sigma) * 1.59576912f * (1 + 3 * 0.044715f * square));
  }
  if constexpr (activation == Activation::silu) {
    const float sigma = logistic(saved);
    return dy * sigma * (1 + saved * (1 - sigma));
  }
}

struct Values {
  int64_t count;
  const float* x;
  float* y;
  float slope;
};

template <Activation activation>
[[gnu::always_inline]] inline void store_values(const Values& values) {
  const float* __restrict x = values.x;
  float* __restrict y = values.y;
#pragma omp simd
  for (int64_t i = 0; i < values.count; ++i) y[i] = value_of<activation>(x[i], values.slope);
}

FOVEA_CLONES void activate(Activation activation, const Values& values) {
  switch (activation) {
    case Activation::relu:
      return store_values<Activation::relu>(values);
    case Activation::sigmoid:
      return store_values<Activation::sigmoid>(values);
    case Activation::tanh:
      return store_values<Activation::tanh>(values);
    case Activation::leaky_relu:
      return store_values<Activation::leaky_relu>(values);
    case Activation::gelu:
      return store_values<Activation::gelu>(values);
    case Activation::gelu_tanh:
      return store_values<Activation::gelu_tanh>(values);
    case Activation::silu:
      return store_values<Activation::silu>(values);
  }
}

struct Gradients {
  int64_t count;
  Into into;
  const float* saved;
  const float* dy;
  float* dx;
  float slope;
};

template <Activation activation>
[[gnu::always_inline]] inline void store_gradients(const Gradients& gradients) {
  const float* __restrict saved = gradients.saved, * __restrict dy = gradients.dy;
  float* __restrict dx = gradients.dx;
  if (gradients.into == Into::add) {
#pragma omp simd
    for (int64_t i = 0; i < gradients.count; ++i) dx[i] += gradient_of<activation>(saved[i], dy[i], gradients.slope);
  } else {
#pragma omp simd
    for (int64_t i = 0; i < gradients.count; ++i) dx[i] = gradient_of<activation>(saved[i], dy[i], gradients.slope);
  }
}

FOVEA_CLONES void differentiate(Activation activation, const Gradients& gradients) {
  switch (activation) {
    case Activation::relu:
      return store_gradients<Activation::relu>(gradients);
    case Activation::sigmoid:
      return store_gradients<Activation::sigmoid>(gradients);
    case Activation::tanh:
      return store_gradients<Activation::tanh>(gradients);
    case Activation::leaky_relu:
      return store_gradients<Activation::leaky_relu>(gradients);
    case Activation::gelu:
      return store_gradients<Activation::gelu>(gradients);
    case Activation::gelu_tanh:
      return store_gradients<Activation::gelu_tanh>(gradients);
    case Activation::silu:
      return store_gradients<Activation::silu>(gradients);
  }
}

// Elements whose reading and writing takes as long as one function: an exponential and a division.
int64_t cost_of(Activation activation) { return activation == Activation::relu || activation == Activation::leaky_relu ? 0 : 8; }

// Forward and backward are the same product with the mask: four elements for each draw.
FOVEA_CLONES void apply_mask(const DropoutForward& op, const Range& samples, const DropoutMask& mask, Into into, const float* from,
                             float* to) {
  const int64_t blocks = (op.elements + 3) / 4;
  for (int64_t n = samples.first; n < samples.first + samples.count; ++n)
    for (int64_t block = 0; block < blocks; ++block) {
      const Random4 bits = mask.bits(op.first_sample + n, block);
      const int64_t first = n * op.elements + 4 * block, count = op.elements - 4 * block < 4 ? op.elements - 4 * block : 4;
      for (int64_t i = 0; i < count; ++i) {
        const float value = bits.v[i] >= mask.threshold ? from[first + i] * mask.scale : 0.0f;
        to[first + i] = into == Into::add ? to[first + i] + value : value;
      }
    }
}

}  // namespace

template <>
Units units_of(const ActivationForward& op) {
  return {op.elements, 2 + cost_of(op.activation)};
}
template <>
void run_part(const ActivationForward& op, const Range& elements, const Buffers& buffers, void*) {
  activate(op.activation, {elements.count, input(buffers, 0) + elements.first, output(buffers, 0) + elements.first, op.slope});
}

template <>
Units units_of(const ActivationBackward& op) {
  return {op.elements, 3 + (gradient_reads_input(op.activation) ? cost_of(op.activation) : 0)};
}
template <>
void run_part(const ActivationBackward& op, const Range& elements, const Buffers& buffers, void*) {
  differentiate(op.activation, {elements.count, op.into, input(buffers, 0) + elements.first, input(buffers, 1) + elements.first,
                                output(buffers, 0) + elements.first, op.slope});
}

template <>
Units units_of(const DropoutForward& op) {
  return {op.n, op.elements * 16};  // a draw takes some twenty multiplications
}
template <>
void run_part(const DropoutForward& op, const Range& samples, const Buffers& buffers, void*) {
  const DropoutMask mask = dropout_mask(op, buffers.in[1].as_struct<StepControl>());
  apply_mask(op, samples, mask, Into::overwrite, input(buffers, 0), output(buffers, 0));
}

template <>
Units units_of(const DropoutBackward& op) {
  return units_of(op.forward);
}
template <>
void run_part(const DropoutBackward& op, const Range& samples, const Buffers& buffers, void*) {
  const DropoutMask mask = dropout_mask(op.forward, buffers.in[1].as_struct<StepControl>());
  apply_mask(op.forward, samples, mask, op.into, input(buffers, 0), output(buffers, 0));
}

KernelPtr EigenBackend::make(const ActivationForward& op, const Limits& limits) {
  return in_float(op.types) ? loops(op) : ReferenceBackend::make(op, limits);
}
KernelPtr EigenBackend::make(const ActivationBackward& op, const Limits& limits) {
  return in_float(op.types) ? loops(op) : ReferenceBackend::make(op, limits);
}
KernelPtr EigenBackend::make(const DropoutForward& op, const Limits& limits) {
  return in_float(op.types) ? loops(op) : ReferenceBackend::make(op, limits);
}
KernelPtr EigenBackend::make(const DropoutBackward& op, const Limits& limits) {
  return in_float(op.forward.types) ? loops(op) : ReferenceBackend::make(op, limits);
}

}  // namespace fovea::eigen
