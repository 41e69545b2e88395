// The optimisers: one step over all parameters, or nothing while a loss is not finite.
#include <cmath>

#include "fovea/backend/reference/backend.h"
#include "fovea/backend/reference/loops.h"

namespace fovea::reference {
namespace {

// One parameter tensor and its state; m and v are empty where the rule has none.
template <class T>
struct Slot {
  std::span<const T> dw;
  std::span<T> w, m, v;
  double decay, rate;
};

template <class T>
void step(const Sgd& rule, const Slot<T>& slot, const StepControl&) {
  const double momentum = static_cast<double>(rule.momentum);
  for (size_t i = 0; i < slot.w.size(); ++i) {
    const double w = static_cast<double>(slot.w[i]), g = static_cast<double>(slot.dw[i]) + slot.decay * w;
    double change = g;
    if (!slot.m.empty()) {
      const double m = momentum * static_cast<double>(slot.m[i]) + g;
      slot.m[i] = static_cast<T>(m);
      change = rule.nesterov == Sgd::Nesterov::yes ? g + momentum * m : m;
    }
    slot.w[i] = static_cast<T>(w - slot.rate * change);
  }
}

template <class T>
void step(const Adam& rule, const Slot<T>& slot, const StepControl& control) {
  const double beta1 = static_cast<double>(rule.beta1), beta2 = static_cast<double>(rule.beta2);
  const double t = static_cast<double>(control.step) + 1;
  const double correction1 = 1 - std::pow(beta1, t), correction2 = 1 - std::pow(beta2, t);
  for (size_t i = 0; i < slot.w.size(); ++i) {
    const double w = static_cast<double>(slot.w[i]), g = static_cast<double>(slot.dw[i]) + slot.decay * w;
    const double m = beta1 * static_cast<double>(slot.m[i]) + (1 - beta1) * g;
    const double v = beta2 * static_cast<double>(slot.v[i]) + (1 - beta2) * g * g;
    slot.m[i] = static_cast<T>(m);
    slot.v[i] = static_cast<T>(v);
    slot.w[i] = static_cast<T>(w - slot.rate * (m / correction1) / (std::sqrt(v / correction2) + static_cast<double>(rule.epsilon)));
  }
}

template <class T>
void update(const Update& op, const Buffers& buffers, void*) {
  const StepControl& control = buffers.in[0].as_struct<StepControl>();
  if (buffers.in[1].as_struct<Metrics>().non_finite > 0) return;
  const size_t count = op.parameters.size(), moments = static_cast<size_t>(moments_of(op.rule));
  for (size_t i = 0; i < count; ++i) {
    const Update::Parameter& parameter = op.parameters[i];
    const Slot<T> slot = {.dw = buffers.in[2 + i].as<T>(),
                          .w = buffers.out[i].as<T>(),
                          .m = moments > 0 ? buffers.out[count + i].as<T>() : std::span<T>(),
                          .v = moments > 1 ? buffers.out[2 * count + i].as<T>() : std::span<T>(),
                          .decay = static_cast<double>(parameter.decay),
                          .rate = static_cast<double>(control.learning_rate) * static_cast<double>(parameter.rate_scale)};
    std::visit([&](const auto& rule) { step(rule, slot, control); }, op.rule);
  }
}

}  // namespace

template <>
KernelPtr Kernels::make(const Update& op, const Limits&) {
  return loops(op, op.types, update<float>, update<double>);
}

}  // namespace fovea::reference
