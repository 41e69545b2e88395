// Losses per image and their gradients, and the score of a batch. A logit that is not finite makes the loss not finite.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "fovea/backend/reference/backend.h"
#include "fovea/backend/reference/loops.h"

namespace fovea::reference {
namespace {

// log sum_k exp(x_k), stable: the largest logit is taken out.
template <class T>
double log_sum_exp(std::span<const T> x) {
  const double largest = static_cast<double>(*std::max_element(x.begin(), x.end()));
  return largest + std::log(std::accumulate(x.begin(), x.end(), 0.0,
                                            [&](double sum, T value) { return sum + std::exp(static_cast<double>(value) - largest); }));
}

double target(const SoftmaxCrossEntropyForward& op, int64_t k, int32_t t) {
  const double smoothing = static_cast<double>(op.smoothing);
  return (k == t ? 1 - smoothing : 0) + smoothing / static_cast<double>(op.k);
}

double scale_of(Scaling scaling, const Buffers& buffers) {
  return scaling == Scaling::none ? 1 : static_cast<double>(buffers.in.back().as_struct<LossScale>().scale);
}

// By which the loss of an image with this label counts.
double weight(const std::vector<float>& class_weights, int32_t t) {
  if (t == ignored_label) return 0;
  return class_weights.empty() ? 1 : static_cast<double>(class_weights[static_cast<size_t>(t)]);
}

template <class T>
void softmax_cross_entropy_forward(const SoftmaxCrossEntropyForward& op, const Buffers& buffers, void*) {
  const std::span<const T> x = buffers.in[0].as<T>();
  const int32_t* t = buffers.in[1].as<int32_t>().data();
  T* loss = buffers.out[0].as<T>().data();
  for (int64_t n = 0; n < op.n; ++n) {
    const std::span<const T> logits = x.subspan(static_cast<size_t>(n * op.k), static_cast<size_t>(op.k));
    const double log_sum = log_sum_exp(logits);
    double sum = 0;  // terms with a target of 0 too: 0 times infinity is NaN
    for (int64_t k = 0; k < op.k; ++k) sum += target(op, k, t[n]) * (log_sum - static_cast<double>(logits[static_cast<size_t>(k)]));
    loss[n] = static_cast<T>(t[n] == ignored_label ? 0 : weight(op.class_weights, t[n]) * sum);
  }
}

template <class T>
void softmax_cross_entropy_backward(const SoftmaxCrossEntropyBackward& op, const Buffers& buffers, void*) {
  const std::span<const T> x = buffers.in[0].as<T>();
  const int32_t* t = buffers.in[1].as<int32_t>().data();
  T* dx = buffers.out[0].as<T>().data();
  const int64_t k_count = op.forward.k;
  const double scale = scale_of(op.scaling, buffers);
  for (int64_t n = 0; n < op.forward.n; ++n) {
    const std::span<const T> logits = x.subspan(static_cast<size_t>(n * k_count), static_cast<size_t>(k_count));
    const double log_sum = log_sum_exp(logits);
    for (int64_t k = 0; k < k_count; ++k) {
      const double softmax = std::exp(static_cast<double>(logits[static_cast<size_t>(k)]) - log_sum);
      const double gradient =
          scale * weight(op.forward.class_weights, t[n]) * (softmax - target(op.forward, k, t[n])) / static_cast<double>(op.divisor);
      dx[n * k_count + k] = static_cast<T>(t[n] == ignored_label ? 0 : gradient);
    }
  }
}

double smoothed(const BinaryCrossEntropyForward& op, int32_t t) {
  const double smoothing = static_cast<double>(op.smoothing);
  return (1 - smoothing) * t + smoothing / 2;
}

template <class T>
void binary_cross_entropy_forward(const BinaryCrossEntropyForward& op, const Buffers& buffers, void*) {
  const T* logits = buffers.in[0].as<T>().data();
  const int32_t* t = buffers.in[1].as<int32_t>().data();
  T* loss = buffers.out[0].as<T>().data();
  for (int64_t n = 0; n < op.n; ++n) {
    const double x = static_cast<double>(logits[n]);
    const double value = std::max(x, 0.0) - x * smoothed(op, t[n]) + std::log1p(std::exp(-std::abs(x)));
    loss[n] = static_cast<T>(t[n] == ignored_label ? 0 : weight(op.class_weights, t[n]) * value);
  }
}

template <class T>
void binary_cross_entropy_backward(const BinaryCrossEntropyBackward& op, const Buffers& buffers, void*) {
  const T* logits = buffers.in[0].as<T>().data();
  const int32_t* t = buffers.in[1].as<int32_t>().data();
  T* dx = buffers.out[0].as<T>().data();
  const double scale = scale_of(op.scaling, buffers);
  for (int64_t n = 0; n < op.forward.n; ++n) {
    const double sigmoid = 1 / (1 + std::exp(-static_cast<double>(logits[n])));
    const double gradient =
        scale * weight(op.forward.class_weights, t[n]) * (sigmoid - smoothed(op.forward, t[n])) / static_cast<double>(op.divisor);
    dx[n] = static_cast<T>(t[n] == ignored_label ? 0 : gradient);
  }
}

template <class T>
int32_t answer(std::span<const T> logits) {
  if (logits.size() == 1) return logits[0] > 0 ? 1 : 0;
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

template <class T>
void score(const Score& op, const Buffers& buffers, void*) {
  const std::span<const T> x = buffers.in[0].as<T>();
  const int32_t* t = buffers.in[1].as<int32_t>().data();
  const T* loss = buffers.in[2].as<T>().data();
  Metrics& metrics = buffers.out[0].as_struct<Metrics>();
  for (int64_t n = 0; n < op.n; ++n) {
    if (t[n] == ignored_label) continue;
    metrics.loss_sum += static_cast<double>(loss[n]);
    metrics.counted += 1;
    metrics.correct += answer(x.subspan(static_cast<size_t>(n * op.k), static_cast<size_t>(op.k))) == t[n];
    metrics.non_finite += !std::isfinite(loss[n]);
  }
}

}  // namespace

template <>
KernelPtr Kernels::make(const SoftmaxCrossEntropyForward& op, const Limits&) {
  return loops(op, op.types, softmax_cross_entropy_forward<float>, softmax_cross_entropy_forward<double>);
}
template <>
KernelPtr Kernels::make(const SoftmaxCrossEntropyBackward& op, const Limits&) {
  return loops(op, op.forward.types, softmax_cross_entropy_backward<float>, softmax_cross_entropy_backward<double>);
}
template <>
KernelPtr Kernels::make(const BinaryCrossEntropyForward& op, const Limits&) {
  return loops(op, op.types, binary_cross_entropy_forward<float>, binary_cross_entropy_forward<double>);
}
template <>
KernelPtr Kernels::make(const BinaryCrossEntropyBackward& op, const Limits&) {
  return loops(op, op.forward.types, binary_cross_entropy_backward<float>, binary_cross_entropy_backward<double>);
}
template <>
KernelPtr Kernels::make(const Score& op, const Limits&) {
  return loops(op, op.types, score<float>, score<double>);
}

}  // namespace fovea::reference
