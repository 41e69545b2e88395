// Losses per image and their gradients.
#include "fovea/backend/cuda/loss.cuh"

#include "fovea/backend/cuda/backend.h"

namespace fovea::cuda {
namespace {

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

template <class T>
__global__ void __launch_bounds__(block_threads)
    binary_forward(BinaryRule rule, int64_t n, const T* logits, const int32_t* t, float* loss) {
  for (int64_t i = int64_t{blockIdx.x} * block_threads + threadIdx.x; i < n; i += int64_t{gridDim.x} * block_threads)
    loss[i] = binary_loss(rule, widened(logits[i]), t[i]);
}

template <class T>
__global__ void __launch_bounds__(block_threads)
    binary_backward(BinaryRule rule, int64_t n, const T* logits, const int32_t* t, Divisor divisor, T* dx) {
  for (int64_t i = int64_t{blockIdx.x} * block_threads + threadIdx.x; i < n; i += int64_t{gridDim.x} * block_threads)
    dx[i] = narrowed<T>(binary_gradient(rule, widened(logits[i]), t[i], divisor));
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

}  // namespace fovea::cuda
