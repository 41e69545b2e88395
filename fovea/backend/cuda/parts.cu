// Adds up the parts of a product, and decides how many there are.
#include "fovea/backend/cuda/divider.h"
#include "fovea/backend/cuda/epilogue.cuh"

namespace fovea::cuda {
namespace {

// A block is (block_threads / lanes, lanes): lane l of an element adds parts l, l + lanes, ..., then the first lane adds the lanes.
template <int lanes>
__global__ void __launch_bounds__(block_threads) add(const float* parts, Product product, Divider n, Divider m, Epilogue epilogue) {
  constexpr int width = block_threads / lanes;
  __shared__ float sums[lanes][width];
  const int elements = product.elements();
  const int64_t element = int64_t{blockIdx.x} * width + threadIdx.x;
  float sum = 0;
  if (element < elements) {
#pragma unroll 4
    for (int part = threadIdx.y; part < product.parts; part += lanes) sum += parts[int64_t{part} * elements + element];
  }
  if constexpr (lanes > 1) {
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0) return;
    for (int lane = 1; lane < lanes; ++lane) sum += sums[lane][threadIdx.x];
  }
  if (element >= elements) return;
  const Divided row = n.divide(static_cast<int>(element));
  const Divided group = m.divide(row.quotient);
  finish_element(epilogue, product, {group.quotient, group.remainder, row.remainder}, sum);
}

constexpr int enough_blocks = 132;  // as many as a large GPU has multiprocessors; a constant, so that sums do not depend on the GPU
constexpr int least_tiles_per_part = 4;

}  // namespace

Product plan_product(int m, int n, int k, int groups) {
  Product product = {.m = m, .n = n, .k = k, .groups = groups};
  if (n <= 32) {
    product.tile_m = 128;
    product.tile_n = n <= 16 ? 16 : 32;
  }
  const int tiles_k = (k + tile_k - 1) / tile_k;
  const int wished = product.tiles() >= enough_blocks ? 1 : 2 * enough_blocks / product.tiles();
  const int parts = std::max(1, std::min(wished, tiles_k / least_tiles_per_part));
  product.tiles_per_part = (tiles_k + parts - 1) / parts;
  product.parts = (tiles_k + product.tiles_per_part - 1) / product.tiles_per_part;  // none is empty
  return product;
}

std::string Product::text() const {
  const std::string tiles = std::to_string(tile_m) + "x" + std::to_string(tile_n) + " tiles";
  return parts > 1 ? tiles + ", sum in " + std::to_string(parts) + " parts" : tiles;
}

void add_parts(const Product& product, const Epilogue& epilogue, const Launch& launch) {
  const Divider n(product.n), m(product.m);
  if (product.parts >= 16) {
    constexpr int lanes = 8;
    add<lanes><<<blocks_of_each(product.elements(), block_threads / lanes), dim3(block_threads / lanes, lanes), 0, launch.stream>>>(
        launch.floats(), product, n, m, epilogue);
  } else {
    add<1><<<blocks_of_each(product.elements()), block_threads, 0, launch.stream>>>(launch.floats(), product, n, m, epilogue);
  }
  check_launch("add_parts");
}

bool has_code_for_device() {
  cudaFuncAttributes attributes;
  const cudaError_t result = cudaFuncGetAttributes(&attributes, add<1>);
  if (result == cudaErrorNoKernelImageForDevice || result == cudaErrorInvalidDeviceFunction) {
    cudaGetLastError();
    return false;
  }
  check_cuda(result, "cudaFuncGetAttributes");
  return true;
}

}  // namespace fovea::cuda
