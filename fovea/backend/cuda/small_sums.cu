// Adds up the parts of gradients, and the score of the images.
#include "fovea/backend/cuda/small_launch.cuh"
#include "fovea/backend/cuda/small_memory.cuh"

namespace fovea::cuda {
namespace {

struct Tally {
  double loss;
  unsigned counted, correct, non_finite;
};

__device__ void add_score(const SumJob& job, Tally* tallies) {
  Tally tally = {};
  for (int n = static_cast<int>(threadIdx.x); n < job.images; n += filter_threads) {
    if (job.correct[n] < 0) continue;
    tally.loss += static_cast<double>(job.loss[n]);
    ++tally.counted;
    tally.correct += static_cast<unsigned>(job.correct[n]);
    tally.non_finite += !isfinite(job.loss[n]);
  }
  tallies[threadIdx.x] = tally;
  __syncthreads();
  for (unsigned half = filter_threads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) {
      const Tally other = tallies[threadIdx.x + half];
      tally = {tally.loss + other.loss, tally.counted + other.counted, tally.correct + other.correct, tally.non_finite + other.non_finite};
      tallies[threadIdx.x] = tally;
    }
    __syncthreads();
  }
  if (threadIdx.x > 0) return;
  job.metrics->loss_sum += tally.loss;
  job.metrics->counted += tally.counted;
  job.metrics->correct += tally.correct;
  job.metrics->non_finite += tally.non_finite;
}

__device__ void add_parts_of(const SumStage& job, float* sums) {
  const int elements = filter_threads / job.ways, lane = static_cast<int>(threadIdx.x) % elements,
            way = static_cast<int>(threadIdx.x) / elements;
  const int i = (static_cast<int>(blockIdx.x) - job.first_block) * elements + lane;
  const Divided run = job.by_run.divide(i), tap = job.by_taps.divide(run.quotient);
  const float* from = job.parts + tap.quotient * job.row + tap.remainder * job.line + run.remainder;
  float sum = 0;
  if (i < job.elements) {
#pragma unroll 8
    for (int part = way; part < job.count; part += job.ways) sum += from[static_cast<int64_t>(part) * job.step];
  }
  sums[threadIdx.x] = sum;
  __syncthreads();
  if (way > 0 || i >= job.elements) return;
  for (int other = 1; other < job.ways; ++other) sum += sums[other * elements + lane];
  job.to[i] = job.adds ? job.to[i] + sum : sum;
}

// One launch for both types, which it does not see.
__global__ void __launch_bounds__(filter_threads) small_sums(const __grid_constant__ SumJob job) {
  __shared__ Tally tallies[filter_threads];
  wait_for_kernel_before();
  let_next_kernel_start();
  if (blockIdx.x == gridDim.x - 1) {
    add_score(job, tallies);
    return;
  }
  int i = 0;
  while (i + 1 < job.tensors && static_cast<int>(blockIdx.x) >= job.stage[i + 1].first_block) ++i;
  add_parts_of(job.stage[i], reinterpret_cast<float*>(tallies));
}

}  // namespace

SmallDevice this_small_device() {
  constexpr int with_products = 80;  // compute capability, without the point
  cudaFuncAttributes compiled;
  check_cuda(cudaFuncGetAttributes(&compiled, small_sums), "cudaFuncGetAttributes");
  SmallDevice found;
  if (compiled.ptxVersion < with_products) return found;
  int device = 0;
  check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  check_cuda(cudaDeviceGetAttribute(&found.multiprocessors, cudaDevAttrMultiProcessorCount, device), "cudaDeviceGetAttribute");
  check_cuda(cudaDeviceGetAttribute(&found.shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "cudaDeviceGetAttribute");
  return found;
}

void run_small_sums(const SumJob& job, const SmallLaunch& launch) {
  small_launch<small_sums, small_sums>(launch, {job.blocks, filter_threads, 0}, job);
}

}  // namespace fovea::cuda
