// Products in tiles: out(m, n) = sum_k a(m, k) b(n, k), in float on the CUDA cores. A tile of a and b lies in shared memory, twice, so that
// the next one is read while the present one is multiplied; each thread keeps 4 x 4 sums in registers.
// An operand says where its elements lie:
//   along            what neighbouring threads read: neighbouring k of one row, or neighbouring rows at one k
//   row(i), column(k)   an int4 each, that load(row, column) turns into an element, 0 beyond the ends
//   shift(group)     moves it to a group
#pragma once

#include "fovea/backend/cuda/divider.h"
#include "fovea/backend/cuda/epilogue.cuh"

namespace fovea::cuda {

enum class Along { k, row };

// A matrix in memory: element (i, k) at i row_stride + k column_stride.
template <Along along_>
struct Matrix {
  static constexpr Along along = along_;
  const float* data;
  int rows, columns;
  int row_stride, column_stride;
  int group;  // from one group's matrix to the next one's

  __device__ void shift(int g) { data += int64_t{g} * group; }
  __device__ int4 row(int i) const { return i < rows ? make_int4(i * row_stride, 0, 0, 0) : make_int4(0, -1, 0, 0); }
  __device__ int4 column(int k) const { return k < columns ? make_int4(k * column_stride, 0, 0, 0) : make_int4(0, -1, 0, 0); }
  __device__ float load(int4 a, int4 b) const { return (a.y | b.y) < 0 ? 0 : data[a.x + b.x]; }
};

// Reads tiles of an operand into registers, and writes them into shared memory as (k, row).
template <class Operand, int rows, int threads>
class Reader {
 public:
  static constexpr int pitch = rows + 4;  // keeps 16-byte rows, and keeps columns off the same bank
  static constexpr int table_rows = Operand::along == Along::k ? rows : 1;

  __device__ Reader(const Operand& operand, int first_row, int4* table) : operand_(operand), table_(table) {
    if constexpr (Operand::along == Along::k) {
      for (int i = threadIdx.x; i < rows; i += threads) table_[i] = operand_.row(first_row + i);
    } else {
      row_ = operand_.row(first_row + threadIdx.x % rows);
    }
  }

  // The table must be complete: __syncthreads between construction and this.
  __device__ void read(int first_k) {
    if constexpr (Operand::along == Along::k) {
      const int4 column = operand_.column(first_k + threadIdx.x % tile_k);
#pragma unroll
      for (int i = 0; i < loads; ++i) held_[i] = operand_.load(table_[threadIdx.x / tile_k + i * (threads / tile_k)], column);
    } else {
#pragma unroll
      for (int i = 0; i < loads; ++i) held_[i] = operand_.load(row_, operand_.column(first_k + threadIdx.x / rows + i * (threads / rows)));
    }
  }

  __device__ void write(float (*tile)[pitch]) const {
#pragma unroll
    for (int i = 0; i < loads; ++i) {
      if constexpr (Operand::along == Along::k) {
        tile[threadIdx.x % tile_k][threadIdx.x / tile_k + i * (threads / tile_k)] = held_[i];
      } else {
        tile[threadIdx.x / rows + i * (threads / rows)][threadIdx.x % rows] = held_[i];
      }
    }
  }

 private:
  static constexpr int loads = rows * tile_k / threads;
  static_assert(loads * threads == rows * tile_k && threads % tile_k == 0 && threads % rows == 0);

  const Operand& operand_;
  int4* table_;
  int4 row_;
  float held_[loads];
};

constexpr int per_thread = 4;  // rows and columns of the result

template <int tile_m, int tile_n, class A, class B>
__global__ void __launch_bounds__(tile_m* tile_n / (per_thread * per_thread))
    gemm(A a, B b, Product product, Epilogue epilogue, float* workspace) {
  constexpr int threads = tile_m * tile_n / (per_thread * per_thread);
  using ReadA = Reader<A, tile_m, threads>;
  using ReadB = Reader<B, tile_n, threads>;
  __shared__ __align__(16) float tile_a[2][tile_k][ReadA::pitch];
  __shared__ __align__(16) float tile_b[2][tile_k][ReadB::pitch];
  __shared__ int4 table_a[ReadA::table_rows], table_b[ReadB::table_rows];

  // Neighbouring blocks share rows of a.
  const int blocks_n = (product.n + tile_n - 1) / tile_n, blocks_m = (product.m + tile_m - 1) / tile_m;
  unsigned block = blockIdx.x;
  const int first_n = static_cast<int>(block % blocks_n) * tile_n;
  block /= blocks_n;
  const int first_m = static_cast<int>(block % blocks_m) * tile_m;
  block /= blocks_m;
  const int group = static_cast<int>(block % product.groups), part = static_cast<int>(block / product.groups);

  a.shift(group);
  b.shift(group);
  ReadA read_a(a, first_m, table_a);
  ReadB read_b(b, first_n, table_b);
  __syncthreads();

  const int first_tile = part * product.tiles_per_part;
  const int end_tile = min(first_tile + product.tiles_per_part, (product.k + tile_k - 1) / tile_k);
  read_a.read(first_tile * tile_k);
  read_b.read(first_tile * tile_k);
  read_a.write(tile_a[0]);
  read_b.write(tile_b[0]);
  __syncthreads();

  const int column = threadIdx.x % (tile_n / per_thread) * per_thread, row = threadIdx.x / (tile_n / per_thread) * per_thread;
  float sums[per_thread][per_thread] = {};
  for (int tile = first_tile, now = 0; tile < end_tile; ++tile, now ^= 1) {
    const bool more = tile + 1 < end_tile;
    if (more) {
      read_a.read((tile + 1) * tile_k);
      read_b.read((tile + 1) * tile_k);
    }
#pragma unroll
    for (int k = 0; k < tile_k; ++k) {
      const float4 of_a = *reinterpret_cast<const float4*>(&tile_a[now][k][row]);
      const float4 of_b = *reinterpret_cast<const float4*>(&tile_b[now][k][column]);
      const float from_a[per_thread] = {of_a.x, of_a.y, of_a.z, of_a.w}, from_b[per_thread] = {of_b.x, of_b.y, of_b.z, of_b.w};
#pragma unroll
      for (int i = 0; i < per_thread; ++i)
#pragma unroll
        for (int j = 0; j < per_thread; ++j) sums[i][j] = fmaf(from_a[i], from_b[j], sums[i][j]);
    }
    if (more) {  // into the half that nobody reads since the last barrier
      read_a.write(tile_a[now ^ 1]);
      read_b.write(tile_b[now ^ 1]);
    }
    __syncthreads();
  }

#pragma unroll
  for (int i = 0; i < per_thread; ++i)
#pragma unroll
    for (int j = 0; j < per_thread; ++j) {
      const int m = first_m + row + i, n = first_n + column + j;
      if (m >= product.m || n >= product.n) continue;
      if (product.parts > 1)
        workspace[((int64_t{part} * product.groups + group) * product.m + m) * product.n + n] = sums[i][j];
      else
        finish_element(epilogue, product, {group, m, n}, sums[i][j]);
    }
}

template <int tile_m, int tile_n, class A, class B>
void launch_gemm(const A& a, const B& b, const Product& product, const Epilogue& epilogue, const Launch& launch) {
  constexpr int threads = tile_m * tile_n / (per_thread * per_thread);
  const unsigned blocks = static_cast<unsigned>(product.tiles()) * static_cast<unsigned>(product.parts);
  gemm<tile_m, tile_n><<<blocks, threads, 0, launch.stream>>>(a, b, product, epilogue, launch.floats());
  check_launch("gemm");
}

template <class A, class B>
void multiply(const A& a, const B& b, const Product& product, const Epilogue& epilogue, const Launch& launch) {
  if (product.tile_n == 16)
    launch_gemm<128, 16>(a, b, product, epilogue, launch);
  else if (product.tile_n == 32)
    launch_gemm<128, 32>(a, b, product, epilogue, launch);
  else
    launch_gemm<64, 64>(a, b, product, epilogue, launch);
  if (product.parts > 1) add_parts(product, epilogue, launch);
}

}  // namespace fovea::cuda
