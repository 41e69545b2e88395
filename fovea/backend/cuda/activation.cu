// Activations and dropout, element by element.
#include "fovea/backend/cuda/activate.cuh"
#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cuda/kernel.h"
#include "fovea/backend/dropout_mask.h"

namespace fovea::cuda {
namespace {

__device__ float stored(float before, Into into, float value) { return into == Into::add ? before + value : value; }

// Four elements a thread, and the last few one by one.
__global__ void __launch_bounds__(block_threads) forward(ActivationForward op, const float* x, float* y) {
  const int64_t thread = int64_t{blockIdx.x} * block_threads + threadIdx.x, threads = int64_t{gridDim.x} * block_threads;
  const int64_t quads = op.elements / 4;
  const auto value = [&](float at) { return activate(op.activation, at, op.slope); };
  for (int64_t i = thread; i < quads; i += threads) {
    const float4 from = reinterpret_cast<const float4*>(x)[i];
    reinterpret_cast<float4*>(y)[i] = make_float4(value(from.x), value(from.y), value(from.z), value(from.w));
  }
  for (int64_t i = 4 * quads + thread; i < op.elements; i += threads) y[i] = value(x[i]);
}

__global__ void __launch_bounds__(block_threads) backward(ActivationBackward op, const float* saved, const float* dy, float* dx) {
  const int64_t thread = int64_t{blockIdx.x} * block_threads + threadIdx.x, threads = int64_t{gridDim.x} * block_threads;
  const int64_t quads = op.elements / 4;
  const auto gradient = [&](float at, float from) { return activation_gradient(op.activation, at, from, op.slope); };
  for (int64_t i = thread; i < quads; i += threads) {
    const float4 at = reinterpret_cast<const float4*>(saved)[i], from = reinterpret_cast<const float4*>(dy)[i];
    float4 to = make_float4(0, 0, 0, 0);
    if (op.into == Into::add) to = reinterpret_cast<const float4*>(dx)[i];
    to.x = stored(to.x, op.into, gradient(at.x, from.x));
    to.y = stored(to.y, op.into, gradient(at.y, from.y));
    to.z = stored(to.z, op.into, gradient(at.z, from.z));
    to.w = stored(to.w, op.into, gradient(at.w, from.w));
    reinterpret_cast<float4*>(dx)[i] = to;
  }
  for (int64_t i = 4 * quads + thread; i < op.elements; i += threads)
    dx[i] = stored(op.into == Into::add ? dx[i] : 0, op.into, gradient(saved[i], dy[i]));
}

// Forward and backward are the same product with the mask. A thread draws four elements at a time; a block stays within one sample.
__global__ void __launch_bounds__(block_threads)
    apply_mask(DropoutForward op, Into into, const StepControl* control, const float* from, float* to) {
  const DropoutMask mask = dropout_mask(op, *control);
  const int64_t quads = (op.elements + 3) / 4, spans = (quads + block_threads - 1) / block_threads;
  for (int64_t span = blockIdx.x; span < op.n * spans; span += gridDim.x) {
    const int64_t i = span / spans, quad = span % spans * block_threads + threadIdx.x;
    if (quad >= quads) continue;
    const Random4 bits = mask.bits(op.first_sample + i, quad);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int64_t element = 4 * quad + j;
      if (element >= op.elements) break;
      const int64_t place = i * op.elements + element;
      const bool kept = bits.v[j] >= mask.threshold;
      if (into == Into::add)
        to[place] = kept ? fmaf(from[place], mask.scale, to[place]) : to[place];
      else
        to[place] = kept ? from[place] * mask.scale : 0;
    }
  }
}

void activation_forward(const ActivationForward& op, const Buffers& buffers, const Launch& launch) {
  forward<<<blocks_for(op.elements, 4 * block_threads), block_threads, 0, launch.stream>>>(op, input(buffers, 0), output(buffers, 0));
  check_launch("activation_forward");
}

void activation_backward(const ActivationBackward& op, const Buffers& buffers, const Launch& launch) {
  backward<<<blocks_for(op.elements, 4 * block_threads), block_threads, 0, launch.stream>>>(op, input(buffers, 0), input(buffers, 1),
                                                                                            output(buffers, 0));
  check_launch("activation_backward");
}

void dropout(const DropoutForward& op, Into into, const Buffers& buffers, const Launch& launch) {
  const int64_t spans = (op.elements + 4 * block_threads - 1) / (4 * block_threads);
  apply_mask<<<blocks_for(op.n * spans, 1), block_threads, 0, launch.stream>>>(op, into, input_of<StepControl>(buffers, 1),
                                                                               input(buffers, 0), output(buffers, 0));
  check_launch("dropout");
}

}  // namespace

template <>
KernelPtr Kernels::make(const ActivationForward& op, const Limits&) {
  require_float(op, op.types);
  return kernel("element by element", op, activation_forward);
}
template <>
KernelPtr Kernels::make(const ActivationBackward& op, const Limits&) {
  require_float(op, op.types);
  return kernel("element by element", op, activation_backward);
}
template <>
KernelPtr Kernels::make(const DropoutForward& op, const Limits&) {
  require_float(op, op.types);
  const auto run = [](const DropoutForward& o, const Buffers& buffers, const Launch& launch) {
    dropout(o, Into::overwrite, buffers, launch);
  };
  return kernel("element by element", op, run);
}
template <>
KernelPtr Kernels::make(const DropoutBackward& op, const Limits&) {
  require_float(op, op.forward.types);
  const auto run = [](const DropoutBackward& o, const Buffers& buffers, const Launch& launch) {
    dropout(o.forward, o.into, buffers, launch);
  };
  return kernel("element by element", op, run);
}

}  // namespace fovea::cuda
