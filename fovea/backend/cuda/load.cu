// What the CUDA cores and the memory of a GPU give at most; its tensor cores: load_products.h.
#include "fovea/backend/load.h"

#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cuda/kernel.h"
#include "fovea/backend/cuda/load_products.h"

namespace fovea::cuda {
namespace {

constexpr int per_thread = static_cast<int>(Load::block) / block_threads;
static_assert(per_thread * block_threads == Load::block && per_thread % 4 == 0);

__global__ void multiply_add(int64_t rounds, float* y) {
  float* of_thread = y + blockIdx.x * Load::block + threadIdx.x;
  float sum[per_thread];
#pragma unroll
  for (int i = 0; i < per_thread; ++i) sum[i] = of_thread[i * block_threads];  // of which a compiler knows nothing: not all the same
#pragma unroll 16
  for (int64_t round = 0; round < rounds; ++round)
#pragma unroll
    for (int i = 0; i < per_thread; ++i) sum[i] = fmaf(sum[i], 0.5f, 1.0f);
#pragma unroll
  for (int i = 0; i < per_thread; ++i) of_thread[i * block_threads] = sum[i];
}

// The sum over the threads of a block, in thread 0.
__device__ float sum_of_block(float value) {
  __shared__ float by_warp[block_threads / 32];
  for (int other = 16; other > 0; other /= 2) value += __shfl_down_sync(~0u, value, other);
  if (threadIdx.x % 32 == 0) by_warp[threadIdx.x / 32] = value;
  __syncthreads();
  float sum = 0;
  for (const float one : by_warp) sum += one;
  __syncthreads();
  return sum;
}

// Past the first-level caches, which a launch finds empty.
__global__ void read(int64_t blocks, int64_t rounds, const float4* x, float* y) {
  for (int64_t round = 0; round < rounds; ++round)
    for (int64_t block = blockIdx.x; block < blocks; block += gridDim.x) {
      const float4* from = x + block * (Load::block / 4) + threadIdx.x;
      float4 part[per_thread / 4];
#pragma unroll
      for (int i = 0; i < per_thread / 4; ++i) part[i] = __ldcg(from + i * block_threads);
      float sum = 0;
#pragma unroll
      for (const float4& one : part) sum += (one.x + one.y) + (one.z + one.w);
      sum = sum_of_block(sum);
      if (threadIdx.x == 0) y[block] = sum;
    }
}

__global__ void triad(int64_t blocks, int64_t rounds, const float4* a, const float4* b, float4* y) {
  for (int64_t round = 0; round < rounds; ++round)
    for (int64_t block = blockIdx.x; block < blocks; block += gridDim.x)
#pragma unroll
      for (int i = 0; i < per_thread / 4; ++i) {
        const int64_t at = block * (Load::block / 4) + i * block_threads + threadIdx.x;
        const float4 p = __ldcg(a + at), q = __ldcg(b + at);
        y[at] = {fmaf(2, q.x, p.x), fmaf(2, q.y, p.y), fmaf(2, q.z, p.z), fmaf(2, q.w, p.w)};
      }
}

int attribute(cudaDeviceAttr which) {
  int device = 0, value = 0;
  check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  check_cuda(cudaDeviceGetAttribute(&value, which, device), "cudaDeviceGetAttribute");
  return value;
}

struct Launched {
  Load load;
  unsigned resident_blocks;
};

void run_load(const Launched& op, const Buffers& buffers, const Launch& at) {
  const int64_t blocks = op.load.elements / Load::block;
  const unsigned grid = static_cast<unsigned>(std::min<int64_t>(blocks, op.resident_blocks));
  const auto vectors = [&](size_t i) { return input_of<float4>(buffers, i); };
  if (op.load.kind == Load::Kind::multiply_add)
    multiply_add<<<static_cast<unsigned>(blocks), block_threads, 0, at.stream>>>(op.load.rounds, output(buffers, 0));
  else if (op.load.kind == Load::Kind::read)
    read<<<grid, block_threads, 0, at.stream>>>(blocks, op.load.rounds, vectors(0), output(buffers, 0));
  else
    triad<<<grid, block_threads, 0, at.stream>>>(blocks, op.load.rounds, vectors(0), vectors(1), output_of<float4>(buffers, 0));
  check_launch("a load");
}

}  // namespace

KernelPtr CudaBackend::make_load(const Load& load, const Limits&) {
  if (load.kind == Load::Kind::product) {
    KernelPtr products = products_of_warp_groups(load);
    return products ? std::move(products) : products_of_warps(load);
  }
  const int resident = attribute(cudaDevAttrMultiProcessorCount) * attribute(cudaDevAttrMaxThreadsPerMultiProcessor) / block_threads;
  return kernel("CUDA cores", Launched{load, static_cast<unsigned>(resident)}, run_load);
}

int64_t CudaBackend::last_level_cache() const { return attribute(cudaDevAttrL2CacheSize); }

}  // namespace fovea::cuda
