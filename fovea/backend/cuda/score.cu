// The score of a batch, alone or with its loss and gradient. Blocks leave what their images come to, and the last of them to arrive adds it
// up, always in the same order.
#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cuda/claims.h"
#include "fovea/backend/cuda/loss.cuh"

namespace fovea::cuda {
namespace {

template <class T>
struct Answers {
  const T* x;
  const int32_t* t;
  int64_t n;
  int k;
};

struct Tally {
  double loss;
  unsigned counted, correct, non_finite;

  __device__ void add(float image_loss, bool right) { add({static_cast<double>(image_loss), 1, right, !isfinite(image_loss)}); }
  __device__ void add(const Tally& other) {
    loss += other.loss;
    counted += other.counted;
    correct += other.correct;
    non_finite += other.non_finite;
  }
  __device__ Tally of_lane(int offset) const {
    return {__shfl_xor_sync(whole_warp, loss, offset), __shfl_xor_sync(whole_warp, counted, offset),
            __shfl_xor_sync(whole_warp, correct, offset), __shfl_xor_sync(whole_warp, non_finite, offset)};
  }
};

// The sum of the tallies of a block, for its thread 0.
__device__ Tally sum_of_block(Tally tally) {
  __shared__ Tally of_warps[block_warps];
  for (int offset = warp_threads / 2; offset > 0; offset /= 2) tally.add(tally.of_lane(offset));
  if (lane() == 0) of_warps[warp()] = tally;
  __syncthreads();
  Tally sum = {};
  if (threadIdx.x == 0)
    for (int i = 0; i < block_warps; ++i) sum.add(of_warps[i]);
  __syncthreads();
  return sum;
}

constexpr int64_t most_blocks = 1024;

struct Totals {
  Tally* of_blocks;   // workspace
  unsigned* arrived;  // 0 between launches
  Metrics* metrics;
};

__device__ void add_to_metrics(const Tally& of_thread, const Totals& totals) {
  __shared__ bool is_last;
  const Tally of_block = sum_of_block(of_thread);
  if (threadIdx.x == 0) {
    totals.of_blocks[blockIdx.x] = of_block;
    __threadfence();
    is_last = atomicAdd(totals.arrived, 1u) + 1 == gridDim.x;
    __threadfence();
  }
  __syncthreads();
  if (!is_last) return;
  Tally tally = {};
  for (unsigned i = threadIdx.x; i < gridDim.x; i += block_threads) tally.add(totals.of_blocks[i]);
  const Tally sum = sum_of_block(tally);
  if (threadIdx.x > 0) return;
  totals.metrics->loss_sum += sum.loss;
  totals.metrics->counted += sum.counted;
  totals.metrics->correct += sum.correct;
  totals.metrics->non_finite += sum.non_finite;
  *totals.arrived = 0;
}

// body(image) for those of the warp.
template <class Body>
__device__ void for_images_of_warp(int64_t n, Body body) {
  for (int64_t i = int64_t{blockIdx.x} * block_warps + warp(); i < n; i += int64_t{gridDim.x} * block_warps) body(i);
}

template <class T>
__global__ void __launch_bounds__(block_threads) score(Answers<T> answers, const float* loss, Totals totals) {
  Tally tally = {};
  for_images_of_warp(answers.n, [&](int64_t i) {
    const int32_t t = answers.t[i];
    if (t == ignored_label) return;
    const T* x = answers.x + i * answers.k;
    const int answer = answers.k == 1 ? widened(x[0]) > 0 : largest_of(x, answers.k).index;
    if (lane() == 0) tally.add(loss[i], answer == t);
  });
  add_to_metrics(tally, totals);
}

template <class T>
__global__ void __launch_bounds__(block_threads)
    scored_softmax(SoftmaxRule rule, Answers<T> answers, Divisor divisor, Totals totals, T* dx) {
  Tally tally = {};
  for_images_of_warp(answers.n, [&](int64_t i) {
    const int32_t t = answers.t[i];
    const T* x = answers.x + i * rule.k;
    const Powers powers = powers_of(x, rule.k);
    const float loss = softmax_loss(rule, x, t, powers);
    if (t != ignored_label && lane() == 0) tally.add(loss, powers.largest.index == t);
    write_softmax_gradient(rule, x, t, powers, divisor, dx + i * rule.k);
  });
  add_to_metrics(tally, totals);
}

template <class T>
__global__ void __launch_bounds__(block_threads) scored_binary(BinaryRule rule, Answers<T> answers, Divisor divisor, Totals totals, T* dx) {
  Tally tally = {};
  for (int64_t i = int64_t{blockIdx.x} * block_threads + threadIdx.x; i < answers.n; i += int64_t{gridDim.x} * block_threads) {
    const int32_t t = answers.t[i];
    const float x = widened(answers.x[i]);
    if (t != ignored_label) tally.add(binary_loss(rule, x, t), (x > 0) == t);
    dx[i] = narrowed<T>(binary_gradient(rule, x, t, divisor));
  }
  add_to_metrics(tally, totals);
}

// ---- host ----

unsigned blocks_of(int64_t n, int64_t per_block) { return static_cast<unsigned>(std::min(ceil_of(n, per_block), most_blocks)); }

// How many blocks have arrived, in device memory of its own: the last one sets it back to 0 for the next launch.
std::shared_ptr<unsigned> new_counter() {
  unsigned* data = nullptr;
  check_cuda(cudaMalloc(&data, sizeof *data), "cudaMalloc of a counter");
  const std::shared_ptr<unsigned> counter(data, [](unsigned* memory) { cudaFree(memory); });
  check_cuda(cudaMemset(data, 0, sizeof *data), "cudaMemset of a counter");
  check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");  // other streams do not wait for that
  return counter;
}

// run(op, buffers, launch, totals) launches `blocks` blocks.
template <class Op, class Run>
KernelPtr counting_kernel(std::string algorithm, const Op& op, unsigned blocks, Run run) {
  return kernel(
      std::move(algorithm) + ", summed by the last block", op,
      [arrived = new_counter(), run](const Op& o, const Buffers& buffers, const Launch& launch) {
        const Totals totals = {static_cast<Tally*>(launch.workspace), arrived.get(), output_of<Metrics>(buffers, 0)};
        run(o, buffers, launch, totals);
      },
      blocks * sizeof(Tally));
}

template <class T>
Answers<T> answers_of(const Buffers& buffers, int64_t n, int64_t k) {
  return {input_of<T>(buffers, 0), input_of<int32_t>(buffers, 1), n, static_cast<int>(k)};
}

}  // namespace

template <>
KernelPtr Kernels::make(const Score& op, const Limits&) {
  return with_values(require_rows(op, op.k), [&]<class T>(T) {
    const unsigned blocks = blocks_of(op.n, block_warps);
    return counting_kernel(
        "a warp an image", op, blocks, [blocks](const Score& o, const Buffers& buffers, const Launch& launch, const Totals& totals) {
          score<<<blocks, block_threads, 0, launch.stream>>>(answers_of<T>(buffers, o.n, o.k), input(buffers, 2), totals);
          check_launch("score");
        });
  });
}

KernelPtr scored_loss(const SoftmaxCrossEntropyBackward& op) {
  return with_values(require_rows(op, op.forward.k), [&, weights = class_weights_of(op.forward.class_weights)]<class T>(T) {
    const unsigned blocks = blocks_of(op.forward.n, block_warps);
    const auto run = [blocks, weights](const auto& o, const Buffers& buffers, const Launch& launch, const Totals& totals) {
      scored_softmax<<<blocks, block_threads, 0, launch.stream>>>(SoftmaxRule(o.forward, weights),
                                                                  answers_of<T>(buffers, o.forward.n, o.forward.k), divisor_of(o, buffers),
                                                                  totals, output_of<T>(buffers, 1));
      check_launch("scored_softmax");
    };
    return counting_kernel("a warp an image", op, blocks, run);
  });
}

KernelPtr scored_loss(const BinaryCrossEntropyBackward& op) {
  return with_values(require_values(op), [&, weights = class_weights_of(op.forward.class_weights)]<class T>(T) {
    const unsigned blocks = blocks_of(op.forward.n, block_threads);
    const auto run = [blocks, weights](const auto& o, const Buffers& buffers, const Launch& launch, const Totals& totals) {
      scored_binary<<<blocks, block_threads, 0, launch.stream>>>(BinaryRule{o.forward.smoothing, pointer_to(weights)},
                                                                 answers_of<T>(buffers, o.forward.n, 1), divisor_of(o, buffers), totals,
                                                                 output_of<T>(buffers, 1));
      check_launch("scored_binary");
    };
    return counting_kernel("a thread an image", op, blocks, run);
  });
}

}  // namespace fovea::cuda
