// Activations and dropout, element by element.
#include "fovea/backend/cuda/activate.cuh"
#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cuda/floats.cuh"
#include "fovea/backend/cuda/kernel.h"
#include "fovea/backend/dropout_mask.h"

namespace fovea::cuda {
namespace {

__device__ float stored(float before, Into into, float value) { return into == Into::add ? before + value : value; }

// Sixteen bytes a thread, and the last few elements one by one.
template <class T>
__global__ void __launch_bounds__(block_threads) forward(ActivationForward op, const T* x, T* y) {
  constexpr int width = most_abreast<T>;
  const int64_t thread = int64_t{blockIdx.x} * block_threads + threadIdx.x, threads = int64_t{gridDim.x} * block_threads;
  const int64_t whole = op.elements / width;
  for (int64_t i = thread; i < whole; i += threads) {
    float values[width];
    copy<width>(x + i * width, values);
#pragma unroll
    for (int j = 0; j < width; ++j) values[j] = activate(op.activation, values[j], op.slope);
    put<width>(values, y + i * width);
  }
  for (int64_t i = width * whole + thread; i < op.elements; i += threads)
    y[i] = narrowed<T>(activate(op.activation, widened(x[i]), op.slope));
}

template <class T>
__global__ void __launch_bounds__(block_threads) backward(ActivationBackward op, const T* saved, const T* dy, T* dx) {
  constexpr int width = most_abreast<T>;
  const int64_t thread = int64_t{blockIdx.x} * block_threads + threadIdx.x, threads = int64_t{gridDim.x} * block_threads;
  const int64_t whole = op.elements / width;
  const auto gradient = [&](float at, float from) { return activation_gradient(op.activation, at, from, op.slope); };
  for (int64_t i = thread; i < whole; i += threads) {
    float at[width], from[width], to[width] = {};
    copy<width>(saved + i * width, at);
    copy<width>(dy + i * width, from);
    if (op.into == Into::add) copy<width>(dx + i * width, to);
#pragma unroll
    for (int j = 0; j < width; ++j) to[j] = stored(to[j], op.into, gradient(at[j], from[j]));
    put<width>(to, dx + i * width);
  }
  for (int64_t i = width * whole + thread; i < op.elements; i += threads)
    dx[i] = narrowed<T>(stored(op.into == Into::add ? widened(dx[i]) : 0, op.into, gradient(widened(saved[i]), widened(dy[i]))));
}

// Forward and backward are the same product with the mask. A thread draws four elements at a time; a block stays within one sample.
// `width`: neighbours in one access, 4 or 1.
template <int width, class T>
__global__ void __launch_bounds__(block_threads)
    apply_mask(DropoutForward op, Into into, const StepControl* control, const T* from, T* to) {
  const DropoutMask mask = dropout_mask(op, *control);
  const int64_t quads = (op.elements + 3) / 4, spans = (quads + block_threads - 1) / block_threads;
  for (int64_t span = blockIdx.x; span < op.n * spans; span += gridDim.x) {
    const int64_t i = span / spans, quad = span % spans * block_threads + threadIdx.x;
    if (quad >= quads) continue;
    const Random4 bits = mask.bits(op.first_sample + i, quad);
#pragma unroll
    for (int j = 0; j < 4; j += width) {
      if (4 * quad + j >= op.elements) break;
      const int64_t place = i * op.elements + 4 * quad + j;
      float values[width], sums[width] = {};
      copy<width>(from + place, values);
      if (into == Into::add) copy<width>(to + place, sums);
#pragma unroll
      for (int e = 0; e < width; ++e)
        if (bits.v[j + e] >= mask.threshold) sums[e] = into == Into::add ? fmaf(values[e], mask.scale, sums[e]) : values[e] * mask.scale;
      put<width>(sums, to + place);
    }
  }
}

template <class T>
void activation_forward(const ActivationForward& op, const Buffers& buffers, const Launch& launch) {
  forward<<<blocks_for(op.elements, most_abreast<T> * block_threads), block_threads, 0, launch.stream>>>(op, input_of<T>(buffers, 0),
                                                                                                         output_of<T>(buffers, 0));
  check_launch("activation_forward");
}

template <class T>
void activation_backward(const ActivationBackward& op, const Buffers& buffers, const Launch& launch) {
  backward<<<blocks_for(op.elements, most_abreast<T> * block_threads), block_threads, 0, launch.stream>>>(
      op, input_of<T>(buffers, 0), input_of<T>(buffers, 1), output_of<T>(buffers, 0));
  check_launch("activation_backward");
}

template <class T>
void dropout(const DropoutForward& op, Into into, const Buffers& buffers, const Launch& launch) {
  const int64_t spans = (op.elements + 4 * block_threads - 1) / (4 * block_threads);
  const auto run = op.elements % 4 == 0 ? apply_mask<4, T> : apply_mask<1, T>;
  run<<<blocks_for(op.n * spans, 1), block_threads, 0, launch.stream>>>(op, into, input_of<StepControl>(buffers, 1),
                                                                        input_of<T>(buffers, 0), output_of<T>(buffers, 0));
  check_launch("dropout");
}

}  // namespace

template <>
KernelPtr Kernels::make(const ActivationForward& op, const Limits&) {
  return with_values(require_values(op), [&]<class T>(T) { return kernel("element by element", op, activation_forward<T>); });
}
template <>
KernelPtr Kernels::make(const ActivationBackward& op, const Limits&) {
  return with_values(require_values(op), [&]<class T>(T) { return kernel("element by element", op, activation_backward<T>); });
}
template <>
KernelPtr Kernels::make(const DropoutForward& op, const Limits&) {
  return with_values(require_values(op), [&]<class T>(T) {
    return kernel("element by element", op, [](const DropoutForward& o, const Buffers& buffers, const Launch& launch) {
      dropout<T>(o, Into::overwrite, buffers, launch);
    });
  });
}
template <>
KernelPtr Kernels::make(const DropoutBackward& op, const Limits&) {
  return with_values(require_values(op), [&]<class T>(T) {
    return kernel("element by element", op, [](const DropoutBackward& o, const Buffers& buffers, const Launch& launch) {
      dropout<T>(o.forward, o.into, buffers, launch);
    });
  });
}

}  // namespace fovea::cuda
