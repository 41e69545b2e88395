// The optimisers: one step over all parameters, or nothing while a loss is not finite.
#include <algorithm>
#include <cmath>

#include "fovea/backend/loss_scale.h"
#include "fovea/backend/reference/backend.h"
#include "fovea/backend/reference/loops.h"
#include "fovea/backend/update_guard.h"

namespace fovea::reference {
namespace {

// One parameter tensor and its state; m and v are empty where the rule has none.
template <class T>
struct Slot {
  std::span<const T> dw;
  std::span<T> w, m, v;
  double decay, rate;
  double clip;     // factor of dw
  uint32_t steps;  // before this one

  double gradient(size_t i) const { return static_cast<double>(dw[i]) * clip; }
};

template <class T>
void step(const Sgd& rule, const Slot<T>& slot) {
  const double momentum = static_cast<double>(rule.momentum);
  for (size_t i = 0; i < slot.w.size(); ++i) {
    const double w = static_cast<double>(slot.w[i]), g = slot.gradient(i) + slot.decay * w;
    double change = g;
    if (!slot.m.empty()) {
      const double m = momentum * static_cast<double>(slot.m[i]) + g;
      slot.m[i] = static_cast<T>(m);
      change = rule.nesterov == Sgd::Nesterov::yes ? g + momentum * m : m;
    }
    slot.w[i] = static_cast<T>(w - slot.rate * change);
  }
}

template <class Rule>
concept AdamLike = std::is_same_v<Rule, Adam> || std::is_same_v<Rule, AdamW>;

template <class T, AdamLike Rule>
void step(const Rule& rule, const Slot<T>& slot) {
  constexpr bool decoupled = std::is_same_v<Rule, AdamW>;
  const double beta1 = static_cast<double>(rule.beta1), beta2 = static_cast<double>(rule.beta2);
  const double t = static_cast<double>(slot.steps) + 1;
  const double correction1 = 1 - std::pow(beta1, t), correction2 = 1 - std::pow(beta2, t);
  for (size_t i = 0; i < slot.w.size(); ++i) {
    const double before = static_cast<double>(slot.w[i]);
    const double w = decoupled ? before - slot.rate * slot.decay * before : before;
    const double g = slot.gradient(i) + (decoupled ? 0 : slot.decay * w);
    const double m = beta1 * static_cast<double>(slot.m[i]) + (1 - beta1) * g;
    const double v = beta2 * static_cast<double>(slot.v[i]) + (1 - beta2) * g * g;
    slot.m[i] = static_cast<T>(m);
    slot.v[i] = static_cast<T>(v);
    slot.w[i] = static_cast<T>(w - slot.rate * (m / correction1) / (std::sqrt(v / correction2) + static_cast<double>(rule.epsilon)));
  }
}

template <class T>
void step(const RmsProp& rule, const Slot<T>& slot) {
  const double alpha = static_cast<double>(rule.alpha);
  const std::span<T> squares = slot.m, moments = slot.v;
  for (size_t i = 0; i < slot.w.size(); ++i) {
    const double w = static_cast<double>(slot.w[i]), g = slot.gradient(i) + slot.decay * w;
    const double v = alpha * static_cast<double>(squares[i]) + (1 - alpha) * g * g;
    squares[i] = static_cast<T>(v);
    double change = g / (std::sqrt(v) + static_cast<double>(rule.epsilon));
    if (!moments.empty()) {
      change += static_cast<double>(rule.momentum) * static_cast<double>(moments[i]);
      moments[i] = static_cast<T>(change);
    }
    slot.w[i] = static_cast<T>(w - slot.rate * change);
  }
}

template <class T>
void move_averages(const Update& op, const Buffers& buffers, uint32_t steps) {
  const double step = static_cast<double>(steps), decay = std::min(static_cast<double>(op.ema_decay), (1 + step) / (10 + step));
  const size_t first = places_of(op).average;
  for (size_t i = 0; i < op.parameters.size(); ++i) {
    const std::span<const T> w = buffers.out[i].as<T>();
    const std::span<T> average = buffers.out[first + i].as<T>();
    for (size_t j = 0; j < w.size(); ++j)
      average[j] = static_cast<T>(decay * static_cast<double>(average[j]) + (1 - decay) * static_cast<double>(w[j]));
  }
}

template <class T>
void move_running(const Update& op, const Buffers& buffers) {
  const UpdatePlaces places = places_of(op);
  size_t in = places.batch, out = places.running;
  for (const Update::Running& running : op.running) {
    const double momentum = static_cast<double>(running.momentum);
    const std::span<T> mean = buffers.out[out++].as<T>(), variance = buffers.out[out++].as<T>();
    for (const float unbias : running.unbias) {
      const std::span<const T> batch_mean = buffers.in[in++].as<T>(), batch_variance = buffers.in[in++].as<T>();
      for (size_t c = 0; c < mean.size(); ++c) {
        mean[c] = static_cast<T>((1 - momentum) * static_cast<double>(mean[c]) + momentum * static_cast<double>(batch_mean[c]));
        const double unbiased = static_cast<double>(unbias) * static_cast<double>(batch_variance[c]);
        variance[c] = static_cast<T>((1 - momentum) * static_cast<double>(variance[c]) + momentum * unbiased);
      }
    }
  }
}

void write_working_copies(const Update& op, const Buffers& buffers) {
  size_t out = places_of(op).working;
  for (size_t i = 0; i < op.parameters.size(); ++i)
    if (op.parameters[i].working == Update::Working::copy) convert(buffers.out[i], buffers.out[out++]);
}

template <class T>
Gradients gradients_of(const Update& op, const Buffers& buffers) {
  for (size_t i = 0; i < op.parameters.size(); ++i)
    for (const T dw : buffers.in[2 + i].as<T>())
      if (!std::isfinite(dw)) return Gradients::non_finite;
  if (op.clip_norm > 0 && !std::isfinite(buffers.in[places_of(op).norm].as<T>()[0])) return Gradients::non_finite;
  return Gradients::finite;
}

template <class T>
void apply(const Update& op, const Buffers& buffers) {
  const StepControl& control = buffers.in[0].as_struct<StepControl>();
  const UpdatePlaces places = places_of(op);
  LossScale* loss_scale = op.scaling == Scaling::dynamic ? &buffers.out[places.loss_scale].as_struct<LossScale>() : nullptr;
  Gradients gradients = gradients_of<T>(op, buffers);
  if (loss_scale != nullptr && gradients == Gradients::non_finite && buffers.in[1].as_struct<Metrics>().non_finite == 0) {
    loss_scale->overflow = 1;
    if (follow_gradients(*loss_scale)) return;
  }
  if (!may_update(gradients, control, buffers.in[1].as_struct<Metrics>())) return;
  const uint32_t steps = counted_steps(control, loss_scale);
  double clip = 1;
  if (op.clip_norm > 0)
    clip = std::min(1.0, static_cast<double>(op.clip_norm) / (static_cast<double>(buffers.in[places.norm].as<T>()[0]) + 1e-6));
  if (loss_scale != nullptr) clip /= static_cast<double>(loss_scale->scale);
  const int moments = moments_of(op.rule);
  for (size_t i = 0; i < op.parameters.size(); ++i) {
    const Update::Parameter& parameter = op.parameters[i];
    const Slot<T> slot = {.dw = buffers.in[2 + i].as<T>(),
                          .w = buffers.out[i].as<T>(),
                          .m = moments > 0 ? buffers.out[places.moment1 + i].as<T>() : std::span<T>(),
                          .v = moments > 1 ? buffers.out[places.moment2 + i].as<T>() : std::span<T>(),
                          .decay = static_cast<double>(parameter.decay),
                          .rate = static_cast<double>(control.learning_rate) * static_cast<double>(parameter.rate_scale),
                          .clip = clip,
                          .steps = steps};
    std::visit([&](const auto& rule) { step(rule, slot); }, op.rule);
  }
  if (op.ema_decay > 0) move_averages<T>(op, buffers, steps);
  move_running<T>(op, buffers);
  write_working_copies(op, buffers);
  if (loss_scale != nullptr) follow_gradients(*loss_scale);
}

template <class T>
void update(const Update& op, const Buffers& buffers, void*) {
  apply<T>(op, buffers);
  move_on(op, buffers.in[0].as_struct<StepControl>());
}

template <class T>
void gradient_norm(const GradientNorm& op, const Buffers& buffers, void*) {
  double sum = 0;
  for (size_t i = 0; i < op.elements.size(); ++i)
    for (const T g : buffers.in[i].as<T>()) sum += static_cast<double>(g) * static_cast<double>(g);
  const double scale = op.scaling == Scaling::none ? 1 : static_cast<double>(buffers.in.back().as_struct<LossScale>().scale);
  buffers.out[0].as<T>()[0] = static_cast<T>(std::sqrt(sum) / scale);
}

}  // namespace

template <>
KernelPtr Kernels::make(const Update& op, const Limits&) {
  const Types of_parameters = {op.types.w, op.types.w, op.types.y};
  return loops(op, of_parameters, update<float>, update<double>);
}

template <>
KernelPtr Kernels::make(const GradientNorm& op, const Limits&) {
  return loops(op, op.types, gradient_norm<float>, gradient_norm<double>);
}

}  // namespace fovea::reference
