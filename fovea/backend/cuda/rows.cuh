// Rows of channels shared out among blocks, for sums per channel and for what is done to each channel alone.
#pragma once

#include <type_traits>

#include "fovea/backend/cuda/floats.cuh"
#include "fovea/backend/cuda/kernel.h"
#include "fovea/base/philox.h"

namespace fovea::cuda {

// A block is `lanes` times `width` channels by block_threads / lanes rows; the rows are cut into parts.
struct RowGrid {
  int64_t rows = 1, rows_per_part = 1;
  int c = 1, width = 1, lanes = 32, parts = 1;

  FOVEA_HOST_DEVICE int lines() const { return block_threads / lanes; }
  FOVEA_HOST_DEVICE unsigned columns() const { return static_cast<unsigned>((c + lanes * width - 1) / (lanes * width)); }
  dim3 block() const { return dim3(static_cast<unsigned>(lanes), static_cast<unsigned>(lines())); }
  dim3 blocks() const { return dim3(columns(), static_cast<unsigned>(parts)); }
};

// The rows of a grid in parts, none of them empty.
inline void cut_rows(RowGrid& grid, int64_t least_rows_per_thread, int64_t enough_blocks) {
  const int64_t most = std::max<int64_t>(1, grid.rows / (grid.lines() * least_rows_per_thread));
  const int64_t wished = std::max<int64_t>(1, enough_blocks / grid.columns());
  const int64_t parts = std::min(most, wished);
  grid.rows_per_part = (grid.rows + parts - 1) / parts;
  grid.parts = static_cast<int>((grid.rows + grid.rows_per_part - 1) / grid.rows_per_part);
}

// `widest`: channels of a thread, where theirs are a multiple of it.
inline RowGrid row_grid(int64_t rows, int64_t c, int widest = 4) {
  RowGrid grid{.rows = rows, .c = static_cast<int>(c), .width = c % widest == 0 ? widest : 1};
  while (grid.lanes / 2 * grid.width >= c) grid.lanes /= 2;
  cut_rows(grid, 8, 264);  // two blocks for each multiprocessor of a large GPU; a constant, so that sums do not depend on the GPU
  return grid;
}

struct Span {
  int64_t first, end;
};
__device__ inline Span rows_of(const RowGrid& grid, int part) {
  const int64_t first = part * grid.rows_per_part, end = first + grid.rows_per_part;
  return {first, end < grid.rows ? end : grid.rows};
}

// The thread's first channel in a column of blocks; perhaps beyond the last one.
__device__ inline int channel_of(const RowGrid& grid, unsigned column) {
  return (static_cast<int>(column) * grid.lanes + static_cast<int>(threadIdx.x)) * grid.width;
}

// Calls function with the width, 1 or `most`, as a constant.
template <int most = 4, class Function>
void with_width(int width, Function function) {
  if (width == most)
    function(std::integral_constant<int, most>());
  else
    function(std::integral_constant<int, 1>());
}

}  // namespace fovea::cuda
