// Sums per channel, in the same pass over memory that reads rows of channels or makes them from others.
#pragma once

#include "fovea/backend/cuda/rows.cuh"

namespace fovea::cuda {

// Several neighbours as they lie in memory, in one access.
template <int width, class T>
struct alignas(sizeof(T) * width) Piece {
  T at[width];
};
template <int width, class T>
__device__ inline Piece<width, T> piece_of(const T* from) {
  return *reinterpret_cast<const Piece<width, T>*>(from);
}
template <int width, class T>
__device__ inline void widen(const Piece<width, T>& piece, float (&to)[width]) {
#pragma unroll
  for (int j = 0; j < width; ++j) to[j] = widened(piece.at[j]);
}

// Four blocks for each multiprocessor of a large GPU; a constant, so that sums do not depend on the GPU. A block that can read all rows at
// once with fewer channels side by side does so, and there is nothing to add up behind it.
template <class Source>
RowGrid grid_for(int64_t rows, int64_t c) {
  constexpr int fewest_lanes = 4;
  RowGrid grid{.rows = rows, .c = static_cast<int>(c), .width = Source::width};
  while (grid.lanes / 2 * grid.width >= c) grid.lanes /= 2;
  if (rows <= int64_t{2} * Source::abreast * block_threads / fewest_lanes) {
    while (grid.lanes > fewest_lanes && rows > int64_t{2} * Source::abreast * grid.lines()) grid.lanes /= 2;
    cut_rows(grid, 2 * Source::abreast, 1);
  } else {
    cut_rows(grid, Source::abreast, 528);
  }
  return grid;
}

// Source::load(row, channel) only reads; Source::finish(row, channel, loaded, values) may write, and gives what is summed. `abreast` rows
// are read before the first of them is finished.
template <class Source, class Finished>
__device__ inline void for_rows(const Source& source, const RowGrid& grid, Finished finished) {
  const int c = channel_of(grid, blockIdx.x), lines = grid.lines();
  const Span rows = rows_of(grid, static_cast<int>(blockIdx.y));
  if (c >= grid.c) return;
  for (int64_t row = rows.first + threadIdx.y; row < rows.end; row += Source::abreast * lines) {
    typename Source::Loaded loaded[Source::abreast];
#pragma unroll
    for (int i = 0; i < Source::abreast; ++i) loaded[i] = source.load(min(row + i * lines, rows.end - 1), c);
#pragma unroll
    for (int i = 0; i < Source::abreast; ++i) {
      if (row + i * lines >= rows.end) break;
      float values[Source::width];
      source.finish(row + i * lines, c, loaded[i], values);
      finished(values);
    }
  }
}

template <class Source>
__global__ void __launch_bounds__(block_threads) stream_rows(const __grid_constant__ Source source, const __grid_constant__ RowGrid grid) {
  for_rows(source, grid, [](const float*) {});
}

// A block's sums go to its part, or to the sums themselves if there is only one.
template <class Source>
__global__ void __launch_bounds__(block_threads)
    sum_rows(const __grid_constant__ Source source, const __grid_constant__ RowGrid grid, Into into, float* to) {
  constexpr int width = Source::width;
  __shared__ float of_lines[block_threads / 2][width];
  float sums[width] = {};
  for_rows(source, grid, [&](const float* values) {
#pragma unroll
    for (int j = 0; j < width; ++j) sums[j] += values[j];
  });
  const int line = static_cast<int>(threadIdx.y);
  for (int half = grid.lines() / 2; half > 0; half /= 2) {
    float* shared = of_lines[line % half * grid.lanes + static_cast<int>(threadIdx.x)];
    if (line >= half && line < 2 * half)
#pragma unroll
      for (int j = 0; j < width; ++j) shared[j] = sums[j];
    __syncthreads();
    if (line < half)
#pragma unroll
      for (int j = 0; j < width; ++j) sums[j] += shared[j];
    __syncthreads();
  }
  const int c = channel_of(grid, blockIdx.x);
  if (line > 0 || c >= grid.c) return;
  to += int64_t{blockIdx.y} * grid.c + c;
#pragma unroll
  for (int j = 0; j < width; ++j) to[j] = grid.parts == 1 && into == Into::add ? to[j] + sums[j] : sums[j];
}

constexpr int adding_columns = 8, adding_lines = 128, adding_threads = adding_columns * adding_lines;

inline __global__ void __launch_bounds__(adding_threads) add_row_sums(const float* parts, int count, int c, Into into, float* sums) {
  __shared__ float of_lines[adding_lines][adding_columns];
  const int column = static_cast<int>(blockIdx.x) * adding_columns + static_cast<int>(threadIdx.x), line = static_cast<int>(threadIdx.y);
  float sum = 0;
  if (column < c) {
#pragma unroll 8
    for (int part = line; part < count; part += adding_lines) sum += parts[int64_t{part} * c + column];
  }
  of_lines[line][threadIdx.x] = sum;
  for (int half = adding_lines / 2; half > 0; half /= 2) {
    __syncthreads();
    if (line < half) of_lines[line][threadIdx.x] += of_lines[line + half][threadIdx.x];
  }
  if (line == 0 && column < c) sums[column] = of_lines[0][threadIdx.x] + (into == Into::add ? sums[column] : 0);
}

inline size_t row_sums_bytes(const RowGrid& grid) {
  return grid.parts == 1 ? 0 : static_cast<size_t>(grid.parts) * static_cast<size_t>(grid.c) * sizeof(float);
}

inline void launch_add_row_sums(const float* parts, int count, int c, Into into, float* sums, cudaStream_t stream) {
  add_row_sums<<<blocks_of_each(c, adding_columns), dim3(adding_columns, adding_lines), 0, stream>>>(parts, count, c, into, sums);
  check_launch("add_row_sums");
}

// workspace: row_sums_bytes
template <class Source>
void launch_row_sums(const Source& source, const RowGrid& grid, Into into, float* sums, const Launch& launch) {
  sum_rows<<<grid.blocks(), grid.block(), 0, launch.stream>>>(source, grid, into, grid.parts == 1 ? sums : launch.floats());
  check_launch("sum_rows");
  if (grid.parts == 1) return;
  launch_add_row_sums(launch.floats(), grid.parts, grid.c, into, sums, launch.stream);
}

}  // namespace fovea::cuda
