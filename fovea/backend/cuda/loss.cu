// Losses per image and their gradients, a warp for each image, and the score of a batch in one block.
#include <memory>
#include <span>

#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cuda/claims.h"
#include "fovea/backend/cuda/floats.cuh"
#include "fovea/backend/cuda/kernel.h"

namespace fovea::cuda {
namespace {

constexpr int warp_threads = 32, block_warps = block_threads / warp_threads;
constexpr unsigned whole_warp = 0xFFFFFFFFu;

__device__ int lane() { return static_cast<int>(threadIdx.x) % warp_threads; }
__device__ int warp() { return static_cast<int>(threadIdx.x) / warp_threads; }

// The same sum in every lane, in an order that only the number of lanes decides.
__device__ float sum_of_lanes(float value) {
  for (int offset = warp_threads / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(whole_warp, value, offset);
  return value;
}

struct Largest {
  float value;
  int index;
};

// The first of the largest. A NaN is never larger; in the first place nothing is larger than it.
template <class T>
__device__ Largest largest_of(const T* x, int k) {
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
ClassWeights class_weights_of(const std::vector<float>& weights) {
  return weights.empty() ? nullptr : std::make_shared<const DeviceTable>(std::as_bytes(std::span(weights)));
}
const float* pointer_to(const ClassWeights& weights) { return weights ? static_cast<const float*>(weights->data()) : nullptr; }
__device__ float weight_of(const float* weights, int32_t t) { return weights == nullptr ? 1 : weights[t]; }

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
__device__ Powers powers_of(const T* x, int k) {
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
__device__ float softmax_loss(const SoftmaxRule& rule, const T* x, int32_t t, const Powers& powers) {
  if (t == ignored_label) return 0;
  const float log_sum = log1pf(powers.others);
  float sum = 0;  // terms with a target of 0 too: 0 times infinity is NaN
  for (int i = lane(); i < rule.k; i += warp_threads)
    sum += ((i == t ? rule.label : 0) + rule.other) * (log_sum + (powers.largest.value - widened(x[i])));
  return weight_of(rule.weights, t) * sum_of_lanes(sum);
}

template <class T>
__device__ void write_softmax_gradient(const SoftmaxRule& rule, const T* x, int32_t t, const Powers& powers, const Divisor& divisor,
                                       T* dx) {
  for (int i = lane(); i < rule.k; i += warp_threads) {
    float gradient = expf(widened(x[i]) - powers.largest.value) / powers.sum;
    if (i == t) gradient = i == powers.largest.index ? rule.smoothing - powers.others / powers.sum : gradient - rule.label;
    dx[i] = narrowed<T>(t == ignored_label ? 0 : weight_of(rule.weights, t) * (gradient - rule.other) / divisor.value * divisor.scale());
  }
}

template <class T>
__global__ void __launch_bounds__(block_threads) softmax_forward(SoftmaxRule rule, int64_t n, const T* x, const int32_t* t, float* loss) {
  for (int64_t i = int64_t{blockIdx.x} * block_warps + warp(); i < n; i += int64_t{gridDim.x} * block_warps) {
    const T* logits = x + i * rule.k;
    const float value = softmax_loss(rule, logits, t[i], powers_of(logits, rule.k));
    if (lane() == 0) loss[i] = value;
  }
}

template <class T>
__global__ void __launch_bounds__(block_threads)
    softmax_backward(SoftmaxRule rule, int64_t n, const T* x, const int32_t* t, Divisor divisor, T* dx) {
  for (int64_t i = int64_t{blockIdx.x} * block_warps + warp(); i < n; i += int64_t{gridDim.x} * block_warps) {
    const T* logits = x + i * rule.k;
    write_softmax_gradient(rule, logits, t[i], powers_of(logits, rule.k), divisor, dx + i * rule.k);
  }
}

struct BinaryRule {
  float smoothing;
  const float* weights;
  __device__ float target(int32_t t) const { return (1 - smoothing) * static_cast<float>(t) + smoothing / 2; }
};

template <class T>
__global__ void __launch_bounds__(block_threads)
    binary_forward(BinaryRule rule, int64_t n, const T* logits, const int32_t* t, float* loss) {
  for (int64_t i = int64_t{blockIdx.x} * block_threads + threadIdx.x; i < n; i += int64_t{gridDim.x} * block_threads) {
    const float x = widened(logits[i]), target = rule.target(t[i]);
    // max(x, 0) - x t without cancellation: x (1 - t) or -x t
    const float line = x > 0 ? x * (1 - target) : -x * target;
    loss[i] = t[i] == ignored_label ? 0 : weight_of(rule.weights, t[i]) * (line + log1pf(expf(-fabsf(x))));
  }
}

template <class T>
__global__ void __launch_bounds__(block_threads)
    binary_backward(BinaryRule rule, int64_t n, const T* logits, const int32_t* t, Divisor divisor, T* dx) {
  for (int64_t i = int64_t{blockIdx.x} * block_threads + threadIdx.x; i < n; i += int64_t{gridDim.x} * block_threads) {
    const float x = widened(logits[i]), target = rule.target(t[i]);
    const float power = expf(-fabsf(x));
    // sigmoid - t: for x > 0 as (1 - t) - sigmoid(-x), so that it stays exact where the answer is nearly certain
    const float gradient = x > 0 ? (1 - target) - power / (1 + power) : power / (1 + power) - target;
    dx[i] = narrowed<T>(t[i] == ignored_label ? 0 : weight_of(rule.weights, t[i]) * gradient / divisor.value * divisor.scale());
  }
}

// ---- score ----

template <class T>
struct Answers {
  const T* x;
  const int32_t* t;
  int64_t n;
  int k;
};

// What the images of one warp come to; only lane 0 counts.
struct Tally {
  double loss = 0;
  unsigned counted = 0, correct = 0, non_finite = 0;

  __device__ void add(float image_loss, bool right) {
    loss += static_cast<double>(image_loss);
    ++counted;
    correct += right;
    non_finite += !isfinite(image_loss);
  }
};

constexpr int score_threads = 1024, score_warps = score_threads / warp_threads;

__device__ void add_to_metrics(const Tally& tally, Metrics* metrics) {
  __shared__ double loss[score_warps];
  __shared__ unsigned counted[score_warps], correct[score_warps], non_finite[score_warps];
  if (lane() == 0) {
    loss[warp()] = tally.loss;
    counted[warp()] = tally.counted;
    correct[warp()] = tally.correct;
    non_finite[warp()] = tally.non_finite;
  }
  __syncthreads();
  if (threadIdx.x > 0) return;
  Metrics sum = *metrics;
  for (int i = 0; i < score_warps; ++i) {
    sum.loss_sum += loss[i];
    sum.counted += counted[i];
    sum.correct += correct[i];
    sum.non_finite += non_finite[i];
  }
  *metrics = sum;
}

template <class T>
__global__ void __launch_bounds__(score_threads) score(Answers<T> answers, const float* loss, Metrics* metrics) {
  Tally tally;
  for (int64_t i = warp(); i < answers.n; i += score_warps) {
    const int32_t t = answers.t[i];
    if (t == ignored_label) continue;
    const T* x = answers.x + i * answers.k;
    const int answer = answers.k == 1 ? widened(x[0]) > 0 : largest_of(x, answers.k).index;
    tally.add(loss[i], answer == t);
  }
  add_to_metrics(tally, metrics);
}

template <class T>
__global__ void __launch_bounds__(score_threads)
    scored_softmax(SoftmaxRule rule, Answers<T> answers, Divisor divisor, Metrics* metrics, T* dx) {
  Tally tally;
  for (int64_t i = warp(); i < answers.n; i += score_warps) {
    const int32_t t = answers.t[i];
    const T* x = answers.x + i * rule.k;
    const Powers powers = powers_of(x, rule.k);
    const float loss = softmax_loss(rule, x, t, powers);
    if (t != ignored_label) tally.add(loss, powers.largest.index == t);
    write_softmax_gradient(rule, x, t, powers, divisor, dx + i * rule.k);
  }
  add_to_metrics(tally, metrics);
}

template <class Op>
DType require_rows(const Op& op, int64_t k) {
  require_countable(op, k);
  return require_values(op);
}

}  // namespace

template <>
KernelPtr Kernels::make(const SoftmaxCrossEntropyForward& op, const Limits&) {
  return with_values(require_rows(op, op.k), [&, weights = class_weights_of(op.class_weights)]<class T>(T) {
    return kernel("a warp an image", op, [weights](const SoftmaxCrossEntropyForward& o, const Buffers& buffers, const Launch& launch) {
      softmax_forward<<<blocks_for(o.n, block_warps), block_threads, 0, launch.stream>>>(
          SoftmaxRule(o, weights), o.n, input_of<T>(buffers, 0), input_of<int32_t>(buffers, 1), output(buffers, 0));
      check_launch("softmax_cross_entropy_forward");
    });
  });
}

template <>
KernelPtr Kernels::make(const SoftmaxCrossEntropyBackward& op, const Limits&) {
  return with_values(require_rows(op, op.forward.k), [&, weights = class_weights_of(op.forward.class_weights)]<class T>(T) {
    return kernel("a warp an image", op, [weights](const SoftmaxCrossEntropyBackward& o, const Buffers& buffers, const Launch& launch) {
      softmax_backward<<<blocks_for(o.forward.n, block_warps), block_threads, 0, launch.stream>>>(
          SoftmaxRule(o.forward, weights), o.forward.n, input_of<T>(buffers, 0), input_of<int32_t>(buffers, 1), divisor_of(o, buffers),
          output_of<T>(buffers, 0));
      check_launch("softmax_cross_entropy_backward");
    });
  });
}

template <>
KernelPtr Kernels::make(const BinaryCrossEntropyForward& op, const Limits&) {
  return with_values(require_values(op), [&, weights = class_weights_of(op.class_weights)]<class T>(T) {
    return kernel("element by element", op, [weights](const BinaryCrossEntropyForward& o, const Buffers& buffers, const Launch& launch) {
      binary_forward<<<blocks_for(o.n), block_threads, 0, launch.stream>>>(
          BinaryRule{o.smoothing, pointer_to(weights)}, o.n, input_of<T>(buffers, 0), input_of<int32_t>(buffers, 1), output(buffers, 0));
      check_launch("binary_cross_entropy_forward");
    });
  });
}

template <>
KernelPtr Kernels::make(const BinaryCrossEntropyBackward& op, const Limits&) {
  return with_values(require_values(op), [&, weights = class_weights_of(op.forward.class_weights)]<class T>(T) {
    return kernel("element by element", op, [weights](const BinaryCrossEntropyBackward& o, const Buffers& buffers, const Launch& launch) {
      binary_backward<<<blocks_for(o.forward.n), block_threads, 0, launch.stream>>>(
          BinaryRule{o.forward.smoothing, pointer_to(weights)}, o.forward.n, input_of<T>(buffers, 0), input_of<int32_t>(buffers, 1),
          divisor_of(o, buffers), output_of<T>(buffers, 0));
      check_launch("binary_cross_entropy_backward");
    });
  });
}

template <>
KernelPtr Kernels::make(const Score& op, const Limits&) {
  return with_values(require_rows(op, op.k), [&]<class T>(T) {
    return kernel("one block", op, [](const Score& o, const Buffers& buffers, const Launch& launch) {
      const Answers<T> answers = {input_of<T>(buffers, 0), input_of<int32_t>(buffers, 1), o.n, static_cast<int>(o.k)};
      score<<<1, score_threads, 0, launch.stream>>>(answers, input(buffers, 2), output_of<Metrics>(buffers, 0));
      check_launch("score");
    });
  });
}

KernelPtr scored_softmax_cross_entropy(const SoftmaxCrossEntropyBackward& op) {
  return with_values(require_rows(op, op.forward.k), [&, weights = class_weights_of(op.forward.class_weights)]<class T>(T) {
    return kernel("one block", op, [weights](const SoftmaxCrossEntropyBackward& o, const Buffers& buffers, const Launch& launch) {
      const Answers<T> answers = {input_of<T>(buffers, 0), input_of<int32_t>(buffers, 1), o.forward.n, static_cast<int>(o.forward.k)};
      scored_softmax<<<1, score_threads, 0, launch.stream>>>(SoftmaxRule(o.forward, weights), answers, divisor_of(o, buffers),
                                                             output_of<Metrics>(buffers, 0), output_of<T>(buffers, 1));
      check_launch("scored_softmax_cross_entropy");
    });
  });
}

}  // namespace fovea::cuda
