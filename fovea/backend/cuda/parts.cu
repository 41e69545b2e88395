// Adds up the parts of a product, and decides how many there are.
#include <cmath>
#include <limits>

#include "fovea/backend/cuda/divider.h"
#include "fovea/backend/cuda/epilogue.cuh"

namespace fovea::cuda {
namespace {

// A block is (block_threads / lanes, lanes): lane l of `width` elements adds parts l, l + lanes, ..., then the first lane adds the lanes.
template <int lanes, int width>
__global__ void __launch_bounds__(block_threads) add(const float* parts, Product product, Divider n, Divider m, Epilogue epilogue) {
  constexpr int across = block_threads / lanes;
  __shared__ float sums[lanes][across * width];
  const int64_t elements = product.elements();
  const int64_t element = (int64_t{blockIdx.x} * across + threadIdx.x) * width;
  float sum[width] = {};
  if (element < elements) {
#pragma unroll 4
    for (int part = static_cast<int>(threadIdx.y); part < product.parts; part += lanes) {
      __align__(16) float of_part[width];
      copy<width>(&parts[part * elements + element], of_part);
#pragma unroll
      for (int j = 0; j < width; ++j) sum[j] += of_part[j];
    }
  }
  if constexpr (lanes > 1) {
#pragma unroll
    for (int j = 0; j < width; ++j) sums[threadIdx.y][j * across + threadIdx.x] = sum[j];
    __syncthreads();
    if (threadIdx.y > 0) return;
    for (int lane = 1; lane < lanes; ++lane)
#pragma unroll
      for (int j = 0; j < width; ++j) sum[j] += sums[lane][j * across + threadIdx.x];
  }
  if (element >= elements) return;
  const Divided row = n.divide(static_cast<int>(element));
  const Divided group = m.divide(row.quotient);
  finish<width>(epilogue, product, {group.quotient, group.remainder, row.remainder}, sum);
}

template <int lanes, int width>
void launch_add(const Product& product, const Epilogue& epilogue, const Launch& launch) {
  constexpr int across = block_threads / lanes;
  add<lanes, width><<<blocks_of_each(product.elements(), across * width), dim3(across, lanes), 0, launch.stream>>>(
      launch.floats(), product, Divider(product.n), Divider(product.m), epilogue);
  check_launch("add_parts");
}

template <int width>
void launch_add(const Product& product, const Epilogue& epilogue, const Launch& launch) {
  if (product.parts >= 16)
    launch_add<8, width>(product, epilogue, launch);
  else
    launch_add<1, width>(product, epilogue, launch);
}

// ---- the plan ----

// What a product takes is estimated in cycles of a GPU with this many multiprocessors: constants, so that sums do not depend on the GPU.
constexpr double processors = 132, issues_per_cycle = 4, bytes_per_cycle = 3000, cycles_per_launch = 4000, cycles_per_block = 1500;
constexpr int least_tiles_per_part = 2;

// What a block issues for tile_k of its products, counted in instructions of a warp: the multiplications, the reads of shared memory, as
// heavy as five, and for what it takes from memory the search for the place.
double issues_of(const Tile& tile, Width width) {
  const double warps = tile.threads() / 32.0;
  const double multiplications = warps * tile_k * tile.rows * tile.columns;
  const double reads = warps * tile_k * (tile.rows + tile.columns) / 4;
  const double loads = (tile.m + tile.n) * tile_k / 32.0 / (width == Width::four ? 4 : 1);
  return multiplications + 5 * reads + 18 * loads;
}

double cycles_of(const Product& product, const Tile& tile) {
  const double blocks = std::ceil(product.tiles() * static_cast<double>(product.parts) / processors);  // of one multiprocessor
  const double warps = std::min(16.0, blocks * tile.threads() / 32);
  const double issues = blocks * product.tiles_per_part * issues_of(tile, product.width);
  const double cycles = cycles_per_block + issues / issues_per_cycle * (warps + 3) / warps;  // few warps wait for memory and for each other
  if (product.parts == 1) return cycles;
  return cycles + cycles_per_launch + (2.0 * product.parts + 1) * product.elements() * sizeof(float) / bytes_per_cycle;
}

// The product cut into about this many parts, none of them empty.
Product in_parts(Product product, int parts) {
  const int tiles_k = (product.k + tile_k - 1) / tile_k;
  product.tiles_per_part = (tiles_k + parts - 1) / parts;
  product.parts = (tiles_k + product.tiles_per_part - 1) / product.tiles_per_part;
  return product;
}

template <int width>
Product best_product(Product product, Tiles tiles) {
  Product best;
  double least = std::numeric_limits<double>::infinity();
  const int most_parts = std::clamp((product.k + tile_k - 1) / tile_k / least_tiles_per_part, 1, 1024);
  for (int i = 0; i < tile_count<width>; ++i) {
    if (tiles == Tiles::few && !is_of_few<width>(i)) continue;
    const Tile& tile = width == 4 ? wide_tiles[i] : narrow_tiles[i];
    product.tile = i, product.tile_m = tile.m, product.tile_n = tile.n;
    for (int parts = 1; parts <= most_parts; parts += (parts + 3) / 4) {
      const Product candidate = in_parts(product, parts);
      const double cycles = cycles_of(candidate, tile);
      if (cycles >= least) continue;
      least = cycles;
      best = candidate;
    }
  }
  return best;
}

}  // namespace

Product plan_product(const ProductSizes& sizes) {
  const Product product = {.m = sizes.m, .n = sizes.n, .k = sizes.k, .groups = sizes.groups, .width = sizes.width};
  return sizes.width == Width::four ? best_product<4>(product, sizes.tiles) : best_product<1>(product, sizes.tiles);
}

std::string Product::text() const {
  const std::string tiles = std::to_string(tile_m) + "x" + std::to_string(tile_n) + " tiles";
  return parts > 1 ? tiles + ", sum in " + std::to_string(parts) + " parts" : tiles;
}

void add_parts(const Product& product, const Epilogue& epilogue, const Launch& launch) {
  if (product.width == Width::four)
    launch_add<4>(product, epilogue, launch);
  else
    launch_add<1>(product, epilogue, launch);
}

bool has_code_for_device() {
  cudaFuncAttributes attributes;
  const cudaError_t result = cudaFuncGetAttributes(&attributes, add<1, 1>);
  if (result == cudaErrorNoKernelImageForDevice || result == cudaErrorInvalidDeviceFunction) {
    cudaGetLastError();
    return false;
  }
  check_cuda(result, "cudaFuncGetAttributes");
  return true;
}

}  // namespace fovea::cuda
