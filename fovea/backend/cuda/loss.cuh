// Losses of an image and their gradients, a warp or a thread for each.
#pragma once

#include <memory>
#include <span>

#include "fovea/backend/cuda/floats.cuh"
#include "fovea/backend/cuda/kernel.h"

namespace fovea::cuda {

constexpr int warp_threads = 32, block_warps = block_threads / warp_threads;
constexpr unsigned whole_warp = 0xFFFFFFFFu;

__device__ inline int lane() { return static_cast<int>(threadIdx.x) % warp_threads; }
__device__ inline int warp() { return static_cast<int>(threadIdx.x) / warp_threads; }

// The same sum in every lane, in an order that only the number of lanes decides.
__device__ inline float sum_of_lanes(float value) {
  for (int offset = warp_threads / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(whole_warp, value, offset);
  return value;
}

struct Largest {
  float value;
  int index;
};

// The first of the largest. A NaN is never larger; in the first place nothing is larger than it.
template <class T>
__device__ inline Largest largest_of(const T* x, int k) {
  if (isnan(widened(x[0]))) return {widened(x[0]), 0};
  Largest best = {-INFINITY, k};
  for (int i = lane(); i < k; i += warp_threads) {
    const float value = widened(x[i]);
    if (value > best.value || (value == best.value && i < best.index)) best = {value, i};
  }
  for (int offset = warp_threads / 2; offset > 0; offset /= 2) {
    const Largest other = {__shfl_xor_sync(whole_warp, best.value, offset), __shfl_xor_sync(whole_warp, best.index, offset)};
    if (other.value > best.value || (other.value == best.value && other.index < best.index)) best = other;
  }
  return best;
}

// Of the loss of an image, by its label; nullptr: 1.
using ClassWeights = std::shared_ptr<const DeviceTable>;
inline ClassWeights class_weights_of(const std::vector<float>& weights) {
  return weights.empty() ? nullptr : std::make_shared<const DeviceTable>(std::as_bytes(std::span(weights)));
}
inline const float* pointer_to(const ClassWeights& weights) { return weights ? static_cast<const float*>(weights->data()) : nullptr; }
__device__ inline float weight_of(const float* weights, int32_t t) { return weights == nullptr ? 1 : weights[t]; }

// What a gradient is divided by, and multiplied with.
struct Divisor {
  float value;
  const LossScale* loss_scale;  // nullptr: none
  __device__ float scale() const { return loss_scale == nullptr ? 1 : loss_scale->scale; }
};
template <class Op>
Divisor divisor_of(const Op& op, const Buffers& buffers) {
  return {static_cast<float>(op.divisor), op.scaling == Scaling::dynamic ? input_of<LossScale>(buffers, 2) : nullptr};
}

struct SoftmaxRule {
  int k;
  float label, other, smoothing;  // targets: other everywhere, label more at t
  const float* weights;

  SoftmaxRule(const SoftmaxCrossEntropyForward& op, const ClassWeights& class_weights)
      : k(static_cast<int>(op.k)),
        label(1 - op.smoothing),
        other(op.smoothing / static_cast<float>(op.k)),
        smoothing(op.smoothing),
        weights(pointer_to(class_weights)) {}
};

// exp(x - largest), summed without the largest itself, so that log and softmax stay exact where one class is nearly certain.
struct Powers {
  Largest largest;
  float others, sum;
};
template <class T>
__device__ inline Powers powers_of(const T* x, int k) {
  Powers powers;
  powers.largest = largest_of(x, k);
  float others = 0;
  for (int i = lane(); i < k; i += warp_threads)
    if (i != powers.largest.index) others += expf(widened(x[i]) - powers.largest.value);
  powers.others = sum_of_lanes(others);
  powers.sum = powers.others + expf(powers.largest.value - powers.largest.value);  // not 1 where it is infinite
  return powers;
}

template <class T>
__device__ inline float softmax_loss(const SoftmaxRule& rule, const T* x, int32_t t, const Powers& powers) {
  if (t == ignored_label) return 0;
  const float log_sum = log1pf(powers.others);
  float sum = 0;  // terms with a target of 0 too: 0 times infinity is NaN
  for (int i = lane(); i < rule.k; i += warp_threads)
    sum += ((i == t ? rule.label : 0) + rule.other) * (log_sum + (powers.largest.value - widened(x[i])));
  return weight_of(rule.weights, t) * sum_of_lanes(sum);
}

template <class T>
__device__ inline void write_softmax_gradient(const SoftmaxRule& rule, const T* x, int32_t t, const Powers& powers, const Divisor& divisor,
                                              T* dx) {
  for (int i = lane(); i < rule.k; i += warp_threads) {
    float gradient = expf(widened(x[i]) - powers.largest.value) / powers.sum;
    if (i == t) gradient = i == powers.largest.index ? rule.smoothing - powers.others / powers.sum : gradient - rule.label;
    dx[i] = narrowed<T>(t == ignored_label ? 0 : weight_of(rule.weights, t) * (gradient - rule.other) / divisor.value * divisor.scale());
  }
}

struct BinaryRule {
  float smoothing;
  const float* weights;
  __device__ float target(int32_t t) const { return (1 - smoothing) * static_cast<float>(t) + smoothing / 2; }
};

__device__ inline float binary_loss(const BinaryRule& rule, float x, int32_t t) {
  if (t == ignored_label) return 0;
  const float target = rule.target(t);
  // max(x, 0) - x t without cancellation: x (1 - t) or -x t
  const float line = x > 0 ? x * (1 - target) : -x * target;
  return weight_of(rule.weights, t) * (line + log1pf(expf(-fabsf(x))));
}

__device__ inline float binary_gradient(const BinaryRule& rule, float x, int32_t t, const Divisor& divisor) {
  if (t == ignored_label) return 0;
  const float target = rule.target(t), power = expf(-fabsf(x));
  // sigmoid - t: for x > 0 as (1 - t) - sigmoid(-x), so that it stays exact where the answer is nearly certain
  const float gradient = x > 0 ? (1 - target) - power / (1 + power) : power / (1 + power) - target;
  return weight_of(rule.weights, t) * gradient / divisor.value * divisor.scale();
}

template <class Op>
DType require_rows(const Op& op, int64_t k) {
  require_countable(op, k);
  return require_values(op);
}

}  // namespace fovea::cuda
