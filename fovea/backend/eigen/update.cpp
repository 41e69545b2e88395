// The optimisers: one step over all parameters, or nothing while a loss is not finite.
#include <cmath>

#include "fovea/backend/eigen/backend.h"
#include "fovea/backend/eigen/clones.h"
#include "fovea/backend/eigen/kernel.h"

namespace fovea::eigen {
namespace {

// One parameter tensor and its state.
struct Slot {
  int64_t elements;
  const float* __restrict dw;
  float* __restrict w;
  float* __restrict m;
  float* __restrict v;
  float decay, rate;
};

FOVEA_CLONES void plain_sgd(Slot p) {
#pragma omp simd
  for (int64_t i = 0; i < p.elements; ++i) p.w[i] -= p.rate * (p.dw[i] + p.decay * p.w[i]);
}

// change = direct g + through m: (0, 1) without Nesterov, (1, momentum) with it.
FOVEA_CLONES void momentum_sgd(Slot p, float momentum, float direct, float through) {
#pragma omp simd
  for (int64_t i = 0; i < p.elements; ++i) {
    const float g = p.dw[i] + p.decay * p.w[i];
    p.m[i] = momentum * p.m[i] + g;
    p.w[i] -= p.rate * (direct * g + through * p.m[i]);
  }
}

void step(const Sgd& rule, const Slot& slot, const StepControl&) {
  if (rule.momentum == 0) return plain_sgd(slot);
  const bool nesterov = rule.nesterov == Sgd::Nesterov::yes;
  momentum_sgd(slot, rule.momentum, nesterov ? 1.0f : 0.0f, nesterov ? rule.momentum : 1.0f);
}

struct AdamFactors {
  float beta1, rest1, beta2, rest2, rate, correction2, epsilon;  // rest = 1 - beta; rate with the correction of m
};

FOVEA_CLONES void adam(Slot p, AdamFactors by) {
#pragma omp simd
  for (int64_t i = 0; i < p.elements; ++i) {
    const float g = p.dw[i] + p.decay * p.w[i];
    p.m[i] = by.beta1 * p.m[i] + by.rest1 * g;
    p.v[i] = by.beta2 * p.v[i] + by.rest2 * g * g;
    p.w[i] -= by.rate * p.m[i] / (__builtin_sqrtf(p.v[i] * by.correction2) + by.epsilon);
  }
}

void step(const Adam& rule, const Slot& slot, const StepControl& control) {
  const double beta1 = static_cast<double>(rule.beta1), beta2 = static_cast<double>(rule.beta2), t = control.step + 1.0;
  adam(slot, {.beta1 = rule.beta1,
              .rest1 = static_cast<float>(1 - beta1),
              .beta2 = rule.beta2,
              .rest2 = static_cast<float>(1 - beta2),
              .rate = static_cast<float>(static_cast<double>(slot.rate) / (1 - std::pow(beta1, t))),
              .correction2 = static_cast<float>(1 / (1 - std::pow(beta2, t))),
              .epsilon = rule.epsilon});
}

void update(const Update& op, const Buffers& buffers, void*) {
  const StepControl& control = buffers.in[0].as_struct<StepControl>();
  if (buffers.in[1].as_struct<Metrics>().non_finite > 0) return;
  const size_t count = op.parameters.size(), moments = static_cast<size_t>(moments_of(op.rule));
  for (size_t i = 0; i < count; ++i) {
    const Update::Parameter& parameter = op.parameters[i];
    const Slot slot = {.elements = parameter.elements,
                       .dw = input(buffers, 2 + i),
                       .w = output(buffers, i),
                       .m = moments > 0 ? output(buffers, count + i) : nullptr,
                       .v = moments > 1 ? output(buffers, 2 * count + i) : nullptr,
                       .decay = parameter.decay,
                       .rate = control.learning_rate * parameter.rate_scale};
    if (const Sgd* sgd = std::get_if<Sgd>(&op.rule)) step(*sgd, slot, control);
    if (const Adam* adam_rule = std::get_if<Adam>(&op.rule)) step(*adam_rule, slot, control);
  }
}

}  // namespace

KernelPtr EigenBackend::make(const Update& op, const Limits& limits) {
  const bool known = std::holds_alternative<Sgd>(op.rule) || std::holds_alternative<Adam>(op.rule);
  if (!in_float(op.types) || !known || op.clip_norm > 0 || op.ema_decay > 0 || !op.running.empty())
    return ReferenceBackend::make(op, limits);
  return kernel("loops", op, update);
}

}  // namespace fovea::eigen
