// Losses per image and their gradients, and the score of a batch. A logit that is not finite makes the loss not finite.
#include <algorithm>
#include <cmath>

#include "fovea/backend/eigen/backend.h"
#include "fovea/backend/eigen/clones.h"
#include "fovea/backend/eigen/elementary.h"
#include "fovea/backend/eigen/kernel.h"
#include "fovea/backend/eigen/sums.h"

namespace fovea::eigen {
namespace {

// By which the loss of an image with this label counts; the label is not an ignored one.
float weight(const std::vector<float>& class_weights, int32_t t) {
  return class_weights.empty() ? 1 : class_weights[static_cast<size_t>(t)];
}

// The target of each class: `other`, and `other` + `label` at the label.
struct Targets {
  float label, other;
};
Targets targets_of(const SoftmaxCrossEntropyForward& op) { return {1 - op.smoothing, op.smoothing / static_cast<float>(op.k)}; }

FOVEA_CLONES void exponentials(int64_t k, float largest, const float* __restrict x, float* __restrict result) {
#pragma omp simd
  for (int64_t i = 0; i < k; ++i) result[i] = exponential(x[i] - largest);
}

float sum_without(int64_t left_out, const float* values, int64_t k) {
  float sum = 0;
  for (int64_t i = 0; i < k; ++i) sum += i == left_out ? 0 : values[i];
  return sum;
}

double smoothed(const BinaryCrossEntropyForward& op, int32_t t) {
  const double smoothing = static_cast<double>(op.smoothing);
  return (1 - smoothing) * t + smoothing / 2;
}

int32_t answer(const float* x, int64_t k) {
  if (k == 1) return x[0] > 0 ? 1 : 0;
  return static_cast<int32_t>(std::max_element(x, x + k) - x);
}

}  // namespace

template <>
Units units_of(const SoftmaxCrossEntropyForward& op) {
  return {op.n, 16 * op.k, op.k};
}
template <>
void run_part(const SoftmaxCrossEntropyForward& op, const Range& images, const Buffers& buffers, void* workspace) {
  const int32_t* t = buffers.in[1].as<int32_t>().data();
  float* loss = output(buffers, 0);
  float* powers = static_cast<float*>(workspace);
  const Targets targets = targets_of(op);
  for (int64_t n = images.first; n < images.first + images.count; ++n) {
    const float* x = input(buffers, 0) + n * op.k;
    const float* largest = std::max_element(x, x + op.k);
    exponentials(op.k, *largest, x, powers);
    const float log_sum = std::log1p(sum_without(largest - x, powers, op.k));  // exact also where one class is nearly certain
    float sum = 0;                                                             // terms with a target of 0 too: 0 times infinity is NaN
    for (int64_t k = 0; k < op.k; ++k) sum += ((k == t[n] ? targets.label : 0) + targets.other) * (log_sum - (x[k] - *largest));
    loss[n] = t[n] == ignored_label ? 0 : weight(op.class_weights, t[n]) * sum;
  }
}

template <>
Units units_of(const SoftmaxCrossEntropyBackward& op) {
  return units_of(op.forward);
}
template <>
void run_part(const SoftmaxCrossEntropyBackward& op, const Range& images, const Buffers& buffers, void* workspace) {
  const SoftmaxCrossEntropyForward& forward = op.forward;
  const int32_t* t = buffers.in[1].as<int32_t>().data();
  float* powers = static_cast<float*>(workspace);
  const Targets targets = targets_of(forward);
  for (int64_t n = images.first; n < images.first + images.count; ++n) {
    const float* x = input(buffers, 0) + n * forward.k;
    float* dx = output(buffers, 0) + n * forward.k;
    if (t[n] == ignored_label) {
      std::fill_n(dx, forward.k, 0.0f);
      continue;
    }
    exponentials(forward.k, *std::max_element(x, x + forward.k), x, powers);
    const float others = sum_without(t[n], powers, forward.k), sum = sum_without(-1, powers, forward.k);
    const float share = weight(forward.class_weights, t[n]) / static_cast<float>(op.divisor);
    for (int64_t k = 0; k < forward.k; ++k) {
      const float gradient = k == t[n] ? forward.smoothing - others / sum : powers[k] / sum;  // softmax - 1 would cancel
      dx[k] = (gradient - targets.other) * share;
    }
  }
}

template <>
Units units_of(const BinaryCrossEntropyForward& op) {
  return {op.n, 64};
}
template <>
void run_part(const BinaryCrossEntropyForward& op, const Range& images, const Buffers& buffers, void*) {
  const int32_t* t = buffers.in[1].as<int32_t>().data();
  for (int64_t n = images.first; n < images.first + images.count; ++n) {
    const double x = static_cast<double>(input(buffers, 0)[n]);
    const double loss = std::max(x, 0.0) - x * smoothed(op, t[n]) + std::log1p(std::exp(-std::abs(x)));
    output(buffers, 0)[n] = t[n] == ignored_label ? 0 : weight(op.class_weights, t[n]) * static_cast<float>(loss);
  }
}

template <>
Units units_of(const BinaryCrossEntropyBackward& op) {
  return units_of(op.forward);
}
template <>
void run_part(const BinaryCrossEntropyBackward& op, const Range& images, const Buffers& buffers, void*) {
  const int32_t* t = buffers.in[1].as<int32_t>().data();
  for (int64_t n = images.first; n < images.first + images.count; ++n) {
    const double sigmoid = 1 / (1 + std::exp(-static_cast<double>(input(buffers, 0)[n])));
    const double gradient = (sigmoid - smoothed(op.forward, t[n])) / static_cast<double>(op.divisor);
    output(buffers, 0)[n] = t[n] == ignored_label ? 0 : weight(op.forward.class_weights, t[n]) * static_cast<float>(gradient);
  }
}

void add_scores(const Score& op, const Range& images, const Buffers& buffers, Metrics& metrics) {
  const int32_t* t = buffers.in[1].as<int32_t>().data();
  const float* loss = input(buffers, 2);
  for (int64_t n = images.first; n < images.first + images.count; ++n) {
    if (t[n] == ignored_label) continue;
    metrics.loss_sum += static_cast<double>(loss[n]);
    metrics.counted += 1;
    metrics.correct += answer(input(buffers, 0) + n * op.k, op.k) == t[n];
    metrics.non_finite += !std::isfinite(loss[n]);
  }
}

KernelPtr EigenBackend::make(const SoftmaxCrossEntropyForward& op, const Limits& limits) {
  return in_float(op.types) ? loops(op) : ReferenceBackend::make(op, limits);
}
KernelPtr EigenBackend::make(const SoftmaxCrossEntropyBackward& op, const Limits& limits) {
  return in_float(op.forward.types) ? loops(op) : ReferenceBackend::make(op, limits);
}
KernelPtr EigenBackend::make(const BinaryCrossEntropyForward& op, const Limits& limits) {
  return in_float(op.types) ? loops(op) : ReferenceBackend::make(op, limits);
}
KernelPtr EigenBackend::make(const BinaryCrossEntropyBackward& op, const Limits& limits) {
  return in_float(op.forward.types) ? loops(op) : ReferenceBackend::make(op, limits);
}
KernelPtr EigenBackend::make(const Score& op, const Limits& limits) {
  if (!in_float(op.types)) return ReferenceBackend::make(op, limits);
  return kernel("loops", op, [](const Score& o, const Buffers& buffers, void*) {
    add_scores(o, {0, o.n}, buffers, buffers.out[0].as_struct<Metrics>());
  });
}

}  // namespace fovea::eigen
