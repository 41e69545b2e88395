// Rows of channels dealt out to blocks a line at a time, so that all blocks walk through a tensor together: whoever reads it next in the
// opposite direction finds its end in the cache. A thread keeps its channels, and has several rows on their way.
#pragma once

#include "fovea/backend/cuda/floats.cuh"
#include "fovea/backend/cuda/kernel.h"
#include "fovea/backend/cuda/norm_parts.h"
#include "fovea/backend/cuda/rows.cuh"

namespace fovea::cuda {

// A block is `lanes` times `width` channels by block_threads / lanes rows.
struct NormGrid {
  Deal deal;
  int c = 1, width = 1, lanes = 32;

  FOVEA_HOST_DEVICE unsigned columns() const { return static_cast<unsigned>((c + lanes * width - 1) / (lanes * width)); }
  dim3 block() const { return dim3(static_cast<unsigned>(lanes), static_cast<unsigned>(deal.lines)); }
  dim3 blocks() const { return dim3(columns(), static_cast<unsigned>(deal.parts)); }
};

// `enough`: blocks; a constant, so that sums do not depend on the GPU. Two, or three, for each multiprocessor of a large one.
inline NormGrid norm_grid(int64_t rows, int64_t c, int widest, int enough) {
  constexpr int64_t least_rows_per_thread = 4;
  NormGrid grid{.deal = {.rows = rows}, .c = static_cast<int>(c), .width = c % widest == 0 ? widest : 1};
  while (grid.lanes / 2 * grid.width >= c) grid.lanes /= 2;
  grid.deal.lines = block_threads / grid.lanes;
  const int64_t most = std::max<int64_t>(1, rows / (grid.deal.lines * least_rows_per_thread));
  grid.deal.parts = static_cast<int>(std::min(most, std::max<int64_t>(1, enough / grid.columns())));
  return grid;
}

// The neighbouring channels of a row, as one access moves them.
template <int width, class T>
struct RowPiece {
  typename Access<width * sizeof(T)>::Type bits;

  __device__ void load(const T* from) { bits = *reinterpret_cast<const decltype(bits)*>(from); }
  __device__ void widen(float (&to)[width]) const {
    T values[width];
    __builtin_memcpy(values, &bits, sizeof bits);
#pragma unroll
    for (int j = 0; j < width; ++j) to[j] = widened(values[j]);
  }
};

enum class Walk { up, down };  // from the first row to the last, or back

// The thread's own way through the rows.
template <Walk walk>
struct OwnRows {
  int c;  // the thread's first channel, perhaps beyond the last one
  int64_t row, step, rows;
  int channels;

  __device__ explicit OwnRows(const NormGrid& grid)
      : c((static_cast<int>(blockIdx.x) * grid.lanes + static_cast<int>(threadIdx.x)) * grid.width),
        row(int64_t{blockIdx.y} * grid.deal.lines + threadIdx.y),
        step(grid.deal.step()),
        rows(c < grid.c ? grid.deal.rows : 0),
        channels(grid.c) {}
  __device__ int64_t count() const { return row < rows ? (rows - row + step - 1) / step : 0; }
  __device__ int64_t place(int64_t at) const { return (walk == Walk::up ? at : rows - 1 - at) * channels + c; }

  // body(first, apart, valid): rows at first + i apart, i < batch, of which those with i < valid exist.
  template <int batch, class Body>
  __device__ void for_batches(Body body) const {
    const int64_t apart = (walk == Walk::up ? step : -step) * channels;
    int64_t first = place(row);
    for (int64_t left = count(); left > 0; left -= batch, first += batch * apart)
      body(first, apart, static_cast<int>(left < batch ? left : batch));
  }
};

// A thread's channels as they are normalised.
enum class Shift : uint8_t { read, absent };
template <int width, Shift shift_is = Shift::read>
struct Channels {
  float mean[width], factor[width], shift[width];

  __device__ void read(const Normal& normal, int c) {
#pragma unroll
    for (int j = 0; j < width; ++j) {
      mean[j] = normal.mean[c + j];
      factor[j] = normal.scale[c + j] / sqrtf(normal.variance[c + j] + normal.epsilon);
      if (shift_is == Shift::read) shift[j] = normal.shift[c + j];
    }
  }
  __device__ float normalised(int j, float value) const { return fmaf(value - mean[j], factor[j], shift[j]); }
};

// Every line's values summed, for all of them; the order is that of the lines.
template <int width>
__device__ void sum_lines(int lanes, float (&values)[width]) {
  constexpr int warps = block_threads / 32;
  __shared__ float of_warps[warps][32 * width];
  for (int offset = 16; offset >= lanes; offset /= 2)
#pragma unroll
    for (int j = 0; j < width; ++j) values[j] += __shfl_xor_sync(~0u, values[j], offset);
  const int thread = static_cast<int>(threadIdx.y) * lanes + static_cast<int>(threadIdx.x);
  __syncthreads();
  if (thread % 32 < lanes)
#pragma unroll
    for (int j = 0; j < width; ++j) of_warps[thread / 32][j * 32 + thread % 32] = values[j];
  __syncthreads();
#pragma unroll
  for (int j = 0; j < width; ++j) {
    values[j] = of_warps[0][j * 32 + threadIdx.x];
#pragma unroll
    for (int warp = 1; warp < warps; ++warp) values[j] += of_warps[warp][j * 32 + threadIdx.x];
  }
}

// Blocks that merge parts: 1024 threads for a few channels, of which each reads `width` in a line of threads of its own.
constexpr int merging_channels = 8, merging_threads = 1024;

template <int width>
struct MergingThread {
  static constexpr int lanes = merging_channels / width, lines = merging_threads / lanes;
  int channel, line;  // the first of its channels, perhaps beyond the last one
  __device__ MergingThread()
      : channel(static_cast<int>(blockIdx.x) * merging_channels + static_cast<int>(threadIdx.x) % lanes * width),
        line(static_cast<int>(threadIdx.x) / lanes) {}
};

// The sums of all lines, one channel to each of the first merging_channels threads.
template <int width>
__device__ float sum_of_lines(float (&values)[width]) {
  constexpr int lanes = MergingThread<width>::lanes;
  __shared__ float of_warps[merging_threads / 32][merging_channels];
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  for (int offset = 16; offset >= lanes; offset /= 2)
#pragma unroll
    for (int j = 0; j < width; ++j) values[j] += __shfl_xor_sync(~0u, values[j], offset);
  __syncthreads();
  if (lane < lanes)
#pragma unroll
    for (int j = 0; j < width; ++j) of_warps[warp][lane * width + j] = values[j];
  __syncthreads();
  if (warp > 0) return 0;
  float sum = 0;
#pragma unroll
  for (int i = lane / merging_channels; i < merging_threads / 32; i += 32 / merging_channels) sum += of_warps[i][lane % merging_channels];
  for (int offset = 16; offset >= merging_channels; offset /= 2) sum += __shfl_xor_sync(~0u, sum, offset);
  return sum;
}

// function(width): four channels a thread, or one where they are not a multiple of four.
template <class Function>
void with_merging_width(int c, Function function) {
  with_width<4>(c % 4 == 0 ? 4 : 1, function);
}

}  // namespace fovea::cuda
