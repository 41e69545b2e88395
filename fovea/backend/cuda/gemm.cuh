// Products in tiles: out(m, n) = sum_k a(m, k) b(n, k), in float on the CUDA cores. A tile of a and b lies in shared memory, twice, so that
// the next one is read while the present one is multiplied; each thread keeps tile.rows x tile.columns sums in registers.
// An operand says where its elements lie:
//   along            what neighbouring threads read: neighbouring k of one row, or neighbouring rows at one k
//   row(i), column(k)   an int4 each, of which at(row, column) makes a place in memory, nullptr beyond the ends
//   shift(group)     moves it to a group
//   Value            what lies there: float, or a float of 16 bits, which is exact as a factor in float
// With a width of 4 the places of four neighbours, counted from a multiple of 4, are neighbours in memory, aligned to 16 bytes.
#pragma once

#include "fovea/backend/cuda/divider.h"
#include "fovea/backend/cuda/epilogue.cuh"

namespace fovea::cuda {

enum class Along { k, row };

// A matrix in memory: element (i, k) at i row_stride + k column_stride.
template <Along along_, class T = float>
struct Matrix {
  static constexpr Along along = along_;
  using Value = T;
  const T* data;
  int rows, columns;
  int row_stride, column_stride;
  int group;  // from one group's matrix to the next one's

  __device__ void shift(int g) { data += int64_t{g} * group; }
  __device__ int4 row(int i) const { return i < rows ? make_int4(i * row_stride, 0, 0, 0) : make_int4(0, -1, 0, 0); }
  __device__ int4 column(int k) const { return k < columns ? make_int4(k * column_stride, 0, 0, 0) : make_int4(0, -1, 0, 0); }
  __device__ const T* at(int4 a, int4 b) const { return (a.y | b.y) < 0 ? nullptr : data + (a.x + b.x); }
};

// Reads tiles of an operand into registers, and writes them into shared memory as (k, row).
template <class Operand, int rows, int threads, int width>
class Reader {
 public:
  static constexpr bool along_k = Operand::along == Along::k;
  static constexpr int pitch = rows + 4;                          // keeps 16-byte rows, and keeps columns off the same bank
  static constexpr int table_size = along_k ? rows : 2 * tile_k;  // of the rows, or of the columns of two tiles

  __device__ Reader(const Operand& operand, int first_row, int4* table) : operand_(operand), table_(table) {
    if constexpr (along_k) {
      for (int i = threadIdx.x; i < rows; i += threads) table_[i] = operand_.row(first_row + i);
    } else {
      row_ = operand_.row(first_row + across_);
    }
  }

  // What `read` needs of a tile; a barrier must stand between the two.
  __device__ void prepare(int tile) {
    if constexpr (!along_k)
      if (threadIdx.x < tile_k) table_[tile % 2 * tile_k + threadIdx.x] = operand_.column(tile * tile_k + static_cast<int>(threadIdx.x));
  }

  __device__ void read(int tile) {
    int4 column = make_int4(0, 0, 0, 0);
    if constexpr (along_k) column = operand_.column(tile * tile_k + across_);
#pragma unroll
    for (int i = 0; i < loads; ++i) {
      if (!takes(i)) continue;
      const typename Operand::Value* from =
          along_k ? operand_.at(table_[line(i)], column) : operand_.at(row_, table_[tile % 2 * tile_k + line(i)]);
#pragma unroll
      for (int j = 0; j < width; ++j) held_[i][j] = 0;
      if (from != nullptr) copy<width>(from, held_[i]);
    }
  }

  __device__ void write(float (*tile)[pitch]) const {
#pragma unroll
    for (int i = 0; i < loads; ++i) {
      if (!takes(i)) continue;
      if constexpr (along_k) {
#pragma unroll
        for (int j = 0; j < width; ++j) tile[across_ + j][line(i)] = held_[i][j];
      } else if constexpr (width == 4) {
        *reinterpret_cast<float4*>(&tile[line(i)][across_]) = make_float4(held_[i][0], held_[i][1], held_[i][2], held_[i][3]);
      } else {
        tile[line(i)][across_] = held_[i][0];
      }
    }
  }

 private:
  static constexpr int length = along_k ? tile_k : rows, lines = along_k ? rows : tile_k;  // of the tile, as threads walk over it
  static constexpr int abreast = length / width, lines_abreast = threads / abreast;
  static constexpr int loads = (lines + lines_abreast - 1) / lines_abreast;
  static_assert(length % width == 0 && threads % abreast == 0);

  __device__ int line(int i) const { return static_cast<int>(threadIdx.x) / abreast + i * lines_abreast; }
  __device__ bool takes(int i) const { return lines % lines_abreast == 0 || line(i) < lines; }

  const Operand& operand_;
  int4* table_;
  int4 row_;
  const int across_ = static_cast<int>(threadIdx.x) % abreast * width;
  float held_[loads][width];
};

// The products of one tile along k. A thread's rows lie in bands of four, tile.bands() of them, and so do its columns.
template <Tile tile, int pitch_a, int pitch_b>
__device__ void multiply_tile(const float (*a)[pitch_a], const float (*b)[pitch_b], float (&sums)[tile.rows][tile.columns]) {
  constexpr int band_m = tile.m / (tile.rows / 4), band_n = tile.n / (tile.columns / 4);
  const int column = static_cast<int>(threadIdx.x) % (band_n / 4) * 4, row = static_cast<int>(threadIdx.x) / (band_n / 4) * 4;
#pragma unroll
  for (int k = 0; k < tile_k; ++k) {
    float of_a[tile.rows], of_b[tile.columns];
#pragma unroll
    for (int i = 0; i < tile.rows; i += 4) {
      const float4 four = *reinterpret_cast<const float4*>(&a[k][row + i / 4 * band_m]);
      of_a[i] = four.x, of_a[i + 1] = four.y, of_a[i + 2] = four.z, of_a[i + 3] = four.w;
    }
#pragma unroll
    for (int j = 0; j < tile.columns; j += 4) {
      const float4 four = *reinterpret_cast<const float4*>(&b[k][column + j / 4 * band_n]);
      of_b[j] = four.x, of_b[j + 1] = four.y, of_b[j + 2] = four.z, of_b[j + 3] = four.w;
    }
#pragma unroll
    for (int i = 0; i < tile.rows; ++i)
#pragma unroll
      for (int j = 0; j < tile.columns; ++j) sums[i][j] = fmaf(of_a[i], of_b[j], sums[i][j]);
  }
}

// Where a block's tile begins in the product.
struct Corner {
  int m, n, group, part;
};

// The sums go through shared memory, a band of rows at a time, so that a block writes in order and finishes elements in one place.
template <Tile tile, int width>
__device__ void write_sums(const Product& product, const Epilogue& epilogue, const Corner& corner,
                           const float (&sums)[tile.rows][tile.columns], float* staged, float* workspace) {
  constexpr int band_m = tile.m / (tile.rows / 4), band_n = tile.n / (tile.columns / 4), pitch = tile.n + 4;
  const int column = static_cast<int>(threadIdx.x) % (band_n / 4) * 4, row = static_cast<int>(threadIdx.x) / (band_n / 4) * 4;
#pragma unroll
  for (int band = 0; band < tile.rows / 4; ++band) {
    if (band > 0) __syncthreads();
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < tile.columns; j += 4) {
        const float(&of)[tile.columns] = sums[4 * band + i];
        *reinterpret_cast<float4*>(&staged[(row + i) * pitch + column + j / 4 * band_n]) =
            make_float4(of[j], of[j + 1], of[j + 2], of[j + 3]);
      }
    __syncthreads();
#pragma unroll 1
    for (int place = static_cast<int>(threadIdx.x) * width; place < band_m * tile.n; place += tile.threads() * width) {
      const int m = corner.m + band * band_m + place / tile.n, n = corner.n + place % tile.n;
      if (m >= product.m || n >= product.n) continue;
      const float* sum = &staged[place / tile.n * pitch + place % tile.n];
      if (product.parts > 1)
        copy<width>(sum, &workspace[((int64_t{corner.part} * product.groups + corner.group) * product.m + m) * product.n + n]);
      else
        finish<width>(epilogue, product, {corner.group, m, n}, sum);
    }
  }
}

template <int width, int which, class A, class B>
__global__ void __launch_bounds__(tile_shape<width, which>.threads()) gemm(A a, B b, Product product, Epilogue epilogue, float* workspace) {
  constexpr Tile tile = tile_shape<width, which>;
  using ReadA = Reader<A, tile.m, tile.threads(), width>;
  using ReadB = Reader<B, tile.n, tile.threads(), width>;
  constexpr int size_a = tile_k * ReadA::pitch, size_b = tile_k * ReadB::pitch;
  static_assert(tile.m / (tile.rows / 4) * (tile.n + 4) <= 2 * (size_a + size_b));
  __shared__ __align__(16) float memory[2 * (size_a + size_b)];
  __shared__ int4 table_a[ReadA::table_size], table_b[ReadB::table_size];
  const auto tile_a = [&](int of) { return reinterpret_cast<float(*)[ReadA::pitch]>(memory + of % 2 * size_a); };
  const auto tile_b = [&](int of) { return reinterpret_cast<float(*)[ReadB::pitch]>(memory + 2 * size_a + of % 2 * size_b); };

  // Neighbouring blocks share rows of a.
  const int blocks_n = (product.n + tile.n - 1) / tile.n, blocks_m = (product.m + tile.m - 1) / tile.m;
  const int block = static_cast<int>(blockIdx.x), line = block / blocks_n, plane = line / blocks_m;
  const Corner corner = {line % blocks_m * tile.m, block % blocks_n * tile.n, plane % product.groups, plane / product.groups};
  const int first = corner.part * product.tiles_per_part;
  const int end = min(first + product.tiles_per_part, (product.k + tile_k - 1) / tile_k);

  a.shift(corner.group);
  b.shift(corner.group);
  ReadA read_a(a, corner.m, table_a);
  ReadB read_b(b, corner.n, table_b);
  for (int next = first; next < first + 2; ++next) {
    read_a.prepare(next);
    read_b.prepare(next);
  }
  __syncthreads();
  read_a.read(first);
  read_b.read(first);
  read_a.write(tile_a(first));
  read_b.write(tile_b(first));
  __syncthreads();

  float sums[tile.rows][tile.columns] = {};
  for (int now = first; now < end; ++now) {
    const bool more = now + 1 < end;
    if (more) {
      read_a.read(now + 1);
      read_b.read(now + 1);
    }
    multiply_tile<tile, ReadA::pitch, ReadB::pitch>(tile_a(now), tile_b(now), sums);
    if (more) {  // into the halves that nobody reads since the last barrier
      read_a.write(tile_a(now + 1));
      read_b.write(tile_b(now + 1));
      read_a.prepare(now + 2);
      read_b.prepare(now + 2);
    }
    __syncthreads();
  }
  write_sums<tile, width>(product, epilogue, corner, sums, memory, workspace);
}

template <int width, int which, class A, class B>
void launch_gemm(const A& a, const B& b, const Product& product, const Epilogue& epilogue, const Launch& launch) {
  if constexpr (sizeof(typename A::Value) == 2 && !is_of_few<width>(which)) return;
  if (product.tile != which) return;
  const unsigned blocks = static_cast<unsigned>(product.tiles()) * static_cast<unsigned>(product.parts);
  gemm<width, which><<<blocks, tile_shape<width, which>.threads(), 0, launch.stream>>>(a, b, product, epilogue, launch.floats());
  check_launch("gemm");
}

template <int width, class A, class B>
void launch_gemm(const A& a, const B& b, const Product& product, const Epilogue& epilogue, const Launch& launch) {
  [&]<int... which>(std::integer_sequence<int, which...>) { (launch_gemm<width, which>(a, b, product, epilogue, launch), ...); }
  (std::make_integer_sequence<int, tile_count<width>>());
}

template <class A, class B>
void multiply(const A& a, const B& b, const Product& product, const Epilogue& epilogue, const Launch& launch) {
  if (product.width == Width::four)
    launch_gemm<4>(a, b, product, epilogue, launch);
  else
    launch_gemm<1>(a, b, product, epilogue, launch);
  if (product.parts > 1) add_parts(product, epilogue, launch);
}

}  // namespace fovea::cuda
