#include "fovea/backend/cuda/load_products.h"
#include "fovea/backend/cuda/tensor_tiles.cuh"

namespace fovea::cuda {
namespace {

constexpr int columns = 128;
constexpr int line_bytes = 128, step_bytes = 32;  // of an operand: a line of a tile, and what an instruction takes of it
static_assert(Load::tile == group_rows * columns);

// A block is a warp group and a tile.
template <class T, int element_bytes>
__global__ void __launch_bounds__(group_threads) multiply_groups(int64_t rounds, uint32_t word, float* y) {
  constexpr int words_of_a = group_rows * line_bytes / 4, words_of_b = columns * line_bytes / 4;
  __shared__ alignas(pattern_bytes) uint32_t a[words_of_a];
  __shared__ alignas(pattern_bytes) uint32_t b[words_of_b];
  for (int i = static_cast<int>(threadIdx.x); i < words_of_a; i += group_threads) a[i] = word;
  for (int i = static_cast<int>(threadIdx.x); i < words_of_b; i += group_threads) b[i] = word;
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");  // the products read past what threads see
  __syncthreads();
  constexpr int held = Load::tile / group_threads, steps = static_cast<int>(Load::depth) * element_bytes / step_bytes;
  float* of_thread = y + blockIdx.x * Load::tile + threadIdx.x;
  float d[held];
#pragma unroll
  for (int i = 0; i < held; ++i) d[i] = of_thread[i * group_threads];
  for (int64_t round = 0; round < rounds; ++round) {
    wgmma_fence();
#pragma unroll
    for (int step = 0; step < steps; ++step)
      Wgmma<T, columns, Inner::contraction, Inner::contraction>::add(d, operand<line_bytes>(a + step * step_bytes / 4, 16, 8 * line_bytes),
                                                                     operand<line_bytes>(b + step * step_bytes / 4, 16, 8 * line_bytes), 1);
    wgmma_commit();
    wgmma_wait<1>();
  }
  wgmma_wait<0>();
#pragma unroll
  for (int i = 0; i < held; ++i) of_thread[i * group_threads] = d[i];
}

template <class T, int element_bytes>
KernelPtr kernel_of(const Load& load) {
  return kernel("tensor cores, wgmma", load, [](const Load& of, const Buffers& buffers, const Launch& at) {
    multiply_groups<T, element_bytes><<<static_cast<unsigned>(of.elements / Load::tile), group_threads, 0, at.stream>>>(
        of.rounds, word_of_ones(of.precision), output(buffers, 0));
    check_launch("products of warp groups");
  });
}

}  // namespace

KernelPtr products_of_warp_groups(const Load& load) {
  int major = 0;
  check_cuda(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0), "cudaDeviceGetAttribute");
  if (major != 9) return nullptr;
  if (load.precision == graph::bf16) return kernel_of<__nv_bfloat16, 2>(load);
  if (load.precision == graph::fp16) return kernel_of<__half, 2>(load);
  if (load.precision == graph::tf32) return kernel_of<Tf32, 4>(load);
  return nullptr;
}

}  // namespace fovea::cuda
