// The optimisers: one step over all parameters, or nothing while a loss is not finite; and the norm of their gradients.
#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "fovea/backend/eigen/backend.h"
#include "fovea/backend/eigen/clones.h"
#include "fovea/backend/eigen/kernel.h"
#include "fovea/backend/eigen/sums.h"

namespace fovea::eigen {
namespace {

// Some elements of a parameter and their state.
struct Slot {
  int64_t elements;
  const float* __restrict dw;
  float* __restrict w;
  float* __restrict m;  // first and second moment, where the rule has them
  float* __restrict v;
  float decay, rate, clip;  // clip: factor of dw
};

FOVEA_CLONES void plain_sgd(Slot p) {
#pragma omp simd
  for (int64_t i = 0; i < p.elements; ++i) p.w[i] -= p.rate * (p.clip * p.dw[i] + p.decay * p.w[i]);
}

// change = direct g + through m: (0, 1) without Nesterov, (1, momentum) with it.
FOVEA_CLONES void momentum_sgd(Slot p, float momentum, float direct, float through) {
#pragma omp simd
  for (int64_t i = 0; i < p.elements; ++i) {
    const float g = p.clip * p.dw[i] + p.decay * p.w[i];
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
  float shrink = 0;                                              // of the weight by itself: rate decay of AdamW
};

FOVEA_CLONES void adam(Slot p, AdamFactors by) {
#pragma omp simd
  for (int64_t i = 0; i < p.elements; ++i) {
    const float g = p.clip * p.dw[i] + p.decay * p.w[i];
    p.m[i] = by.beta1 * p.m[i] + by.rest1 * g;
    p.v[i] = by.beta2 * p.v[i] + by.rest2 * g * g;
    p.w[i] = p.w[i] - by.shrink * p.w[i] - by.rate * p.m[i] / (__builtin_sqrtf(p.v[i] * by.correction2) + by.epsilon);
  }
}

template <class Rule>
AdamFactors adam_factors(const Rule& rule, const Slot& slot, const StepControl& control) {
  const double beta1 = static_cast<double>(rule.beta1), beta2 = static_cast<double>(rule.beta2), t = control.step + 1.0;
  return {.beta1 = rule.beta1,
          .rest1 = static_cast<float>(1 - beta1),
          .beta2 = rule.beta2,
          .rest2 = static_cast<float>(1 - beta2),
          .rate = static_cast<float>(static_cast<double>(slot.rate) / (1 - std::pow(beta1, t))),
          .correction2 = static_cast<float>(1 / (1 - std::pow(beta2, t))),
          .epsilon = rule.epsilon};
}

void step(const Adam& rule, const Slot& slot, const StepControl& control) { adam(slot, adam_factors(rule, slot, control)); }

void step(const AdamW& rule, Slot slot, const StepControl& control) {
  AdamFactors factors = adam_factors(rule, slot, control);
  factors.shrink = slot.rate * slot.decay;
  slot.decay = 0;
  adam(slot, factors);
}

struct RmsFactors {
  float alpha, rest, epsilon, momentum;
};

FOVEA_CLONES void plain_rms_prop(Slot p, RmsFactors by) {
#pragma omp simd
  for (int64_t i = 0; i < p.elements; ++i) {
    const float g = p.clip * p.dw[i] + p.decay * p.w[i];
    p.m[i] = by.alpha * p.m[i] + by.rest * g * g;
    p.w[i] -= p.rate * (g / (__builtin_sqrtf(p.m[i]) + by.epsilon));
  }
}

FOVEA_CLONES void momentum_rms_prop(Slot p, RmsFactors by) {
#pragma omp simd
  for (int64_t i = 0; i < p.elements; ++i) {
    const float g = p.clip * p.dw[i] + p.decay * p.w[i];
    p.m[i] = by.alpha * p.m[i] + by.rest * g * g;
    p.v[i] = by.momentum * p.v[i] + g / (__builtin_sqrtf(p.m[i]) + by.epsilon);
    p.w[i] -= p.rate * p.v[i];
  }
}

void step(const RmsProp& rule, const Slot& slot, const StepControl&) {
  const RmsFactors factors = {rule.alpha, static_cast<float>(1 - static_cast<double>(rule.alpha)), rule.epsilon, rule.momentum};
  if (rule.momentum == 0) return plain_rms_prop(slot, factors);
  momentum_rms_prop(slot, factors);
}

// target = keep target + rest with.
FOVEA_CLONES void mix(int64_t elements, float keep, float rest, const float* __restrict with, float* __restrict target) {
#pragma omp simd
  for (int64_t i = 0; i < elements; ++i) target[i] = keep * target[i] + rest * with[i];
}

float clip_of(const Update& op, const Buffers& buffers) {
  if (op.clip_norm <= 0) return 1;
  const double norm = static_cast<double>(input(buffers, places_of(op).norm)[0]);
  return static_cast<float>(std::min(1.0, static_cast<double>(op.clip_norm) / (norm + 1e-6)));
}

void move_running(const Update& op, const Buffers& buffers) {
  const UpdatePlaces places = places_of(op);
  size_t in = places.batch, out = places.running;
  for (const Update::Running& running : op.running) {
    const float keep = static_cast<float>(1 - static_cast<double>(running.momentum));
    for (const float unbias : running.unbias) {
      mix(running.c, keep, running.momentum, input(buffers, in), output(buffers, out));
      mix(running.c, keep, running.momentum * unbias, input(buffers, in + 1), output(buffers, out + 1));
      in += 2;
    }
    out += 2;
  }
}

// The part of a tensor that lies in a range of all tensors, one after the other.
Range piece_of(const Range& range, int64_t tensor_first, int64_t elements) {
  const int64_t first = std::clamp<int64_t>(range.first - tensor_first, 0, elements);
  return {first, std::clamp<int64_t>(range.first + range.count - tensor_first, first, elements) - first};
}

// Of the values without their signs, as bits: NaN and infinity are the largest.
FOVEA_CLONES uint32_t largest_bits(int64_t elements, const float* __restrict values) {
  uint32_t largest = 0;
#pragma omp simd reduction(max : largest)
  for (int64_t i = 0; i < elements; ++i) largest = std::max(largest, std::bit_cast<uint32_t>(values[i]) & 0x7fffffffu);
  return largest;
}

FOVEA_CLONES double squares(int64_t elements, const float* __restrict values) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < elements; ++i) sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  return sum;
}

}  // namespace

template <>
Units units_of(const Update& op) {
  int64_t elements = 0;
  for (const Update::Parameter& parameter : op.parameters) elements += parameter.elements;
  return {elements, 3 + 2 * moments_of(op.rule) + (op.ema_decay > 0 ? 2 : 0)};
}
template <>
void run_part(const Update& op, const Range& range, const Buffers& buffers, void*) {
  const StepControl& control = buffers.in[0].as_struct<StepControl>();
  const UpdatePlaces places = places_of(op);
  const int moments = moments_of(op.rule);
  const float clip = clip_of(op, buffers);
  const double steps = static_cast<double>(control.step), decay = std::min(static_cast<double>(op.ema_decay), (1 + steps) / (10 + steps));
  int64_t tensor_first = 0;
  for (size_t i = 0; i < op.parameters.size(); ++i) {
    const Update::Parameter& parameter = op.parameters[i];
    const auto [first, count] = piece_of(range, tensor_first, parameter.elements);
    tensor_first += parameter.elements;
    if (count == 0) continue;
    const Slot slot = {.elements = count,
                       .dw = input(buffers, 2 + i) + first,
                       .w = output(buffers, i) + first,
                       .m = moments > 0 ? output(buffers, places.moment1 + i) + first : nullptr,
                       .v = moments > 1 ? output(buffers, places.moment2 + i) + first : nullptr,
                       .decay = parameter.decay,
                       .rate = control.learning_rate * parameter.rate_scale,
                       .clip = clip};
    std::visit([&](const auto& rule) { step(rule, slot, control); }, op.rule);
    if (op.ema_decay > 0)
      mix(count, static_cast<float>(decay), static_cast<float>(1 - decay), slot.w, output(buffers, places.average + i) + first);
  }
  if (range.first == 0) move_running(op, buffers);
}

Gradients gradients_of(const Update& op, const Range& elements, const Buffers& buffers) {
  constexpr uint32_t infinity = 0x7f800000;
  int64_t tensor_first = 0;
  for (size_t i = 0; i < op.parameters.size(); ++i) {
    const auto [first, count] = piece_of(elements, tensor_first, op.parameters[i].elements);
    tensor_first += op.parameters[i].elements;
    if (largest_bits(count, input(buffers, 2 + i) + first) >= infinity) return Gradients::non_finite;
  }
  if (op.clip_norm > 0 && largest_bits(1, input(buffers, places_of(op).norm)) >= infinity) return Gradients::non_finite;
  return Gradients::finite;
}

int64_t elements_of(const GradientNorm& op) { return std::accumulate(op.elements.begin(), op.elements.end(), int64_t{0}); }

double sum_of_squares(const GradientNorm& op, const Range& elements, const Buffers& buffers) {
  double sum = 0;
  int64_t tensor_first = 0;
  for (size_t i = 0; i < op.elements.size(); ++i) {
    const auto [first, count] = piece_of(elements, tensor_first, op.elements[i]);
    tensor_first += op.elements[i];
    sum += squares(count, input(buffers, i) + first);
  }
  return sum;
}

KernelPtr EigenBackend::make(const Update& op, const Limits& limits) {
  if (!in_float(op.types)) return ReferenceBackend::make(op, limits);
  return kernel("loops", op, [](const Update& o, const Buffers& buffers, void* workspace) {
    const Range all = {0, units_of(o).count};
    StepControl& control = buffers.in[0].as_struct<StepControl>();
    if (may_update(gradients_of(o, all, buffers), control, buffers.in[1].as_struct<Metrics>())) run_part(o, all, buffers, workspace);
    move_on(o, control);
  });
}
KernelPtr EigenBackend::make(const GradientNorm& op, const Limits& limits) {
  if (!in_float(op.types)) return ReferenceBackend::make(op, limits);
  return kernel("loops", op, [](const GradientNorm& o, const Buffers& buffers, void*) {
    *output(buffers, 0) = static_cast<float>(std::sqrt(sum_of_squares(o, {0, elements_of(o)}, buffers)));
  });
}

}  // namespace fovea::eigen
