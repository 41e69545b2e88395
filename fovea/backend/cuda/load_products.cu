#include "fovea/backend/cuda/load_products.h"
#include "fovea/backend/cuda/warp_mma.cuh"

namespace fovea::cuda {
namespace {

constexpr int warps = 8, abreast = 8;  // products that do not wait for each other
constexpr int of_warp = 128;           // 16 x 8 floats of an instruction
static_assert(Load::tile == warps * abreast * of_warp);

// A block is a tile.
template <class T>
__global__ void __launch_bounds__(warps * 32) multiply_warps(int64_t rounds, uint32_t word, float* y) {
  constexpr int contraction = std::is_same_v<T, Tf32> ? 8 : 16, steps = static_cast<int>(Load::depth) / contraction;
  float4* of_lane = reinterpret_cast<float4*>(y) + (blockIdx.x * warps + threadIdx.x / 32) * (abreast * of_warp / 4) + threadIdx.x % 32;
  float d[abreast][4];
#pragma unroll
  for (int i = 0; i < abreast; ++i) {
    const float4 from = of_lane[i * 32];
    d[i][0] = from.x, d[i][1] = from.y, d[i][2] = from.z, d[i][3] = from.w;
  }
  const uint32_t a[4] = {word, word, word, word};
  for (int64_t round = 0; round < rounds; ++round)
#pragma unroll
    for (int step = 0; step < steps; ++step)
#pragma unroll
      for (auto& each : d) multiply_add(each, a, word, word, T());
#pragma unroll
  for (int i = 0; i < abreast; ++i) of_lane[i * 32] = {d[i][0], d[i][1], d[i][2], d[i][3]};
}

template <class T>
KernelPtr kernel_of(const Load& load) {
  constexpr int with_products = 80;  // compute capability, without the point
  cudaFuncAttributes compiled;
  check_cuda(cudaFuncGetAttributes(&compiled, multiply_warps<T>), "cudaFuncGetAttributes");
  if (compiled.ptxVersion < with_products) return nullptr;
  return kernel("tensor cores, mma", load, [](const Load& of, const Buffers& buffers, const Launch& at) {
    multiply_warps<T><<<static_cast<unsigned>(of.elements / Load::tile), warps * 32, 0, at.stream>>>(of.rounds, word_of_ones(of.precision),
                                                                                                     output(buffers, 0));
    check_launch("products of warps");
  });
}

}  // namespace

KernelPtr products_of_warps(const Load& load) {
  if (load.precision == graph::bf16) return kernel_of<BFloat16>(load);
  if (load.precision == graph::fp16) return kernel_of<Float16>(load);
  if (load.precision == graph::tf32) return kernel_of<Tf32>(load);
  return nullptr;
}

}  // namespace fovea::cuda
