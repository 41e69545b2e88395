// Batch normalisation per channel: statistics in two stages over blocks of rows that the shape alone decides, then element by element.
#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cuda/kernel.h"

namespace fovea::cuda {
namespace {

// How rows and channels are shared out: a block is `lanes` channels by block_threads / lanes rows; the rows are cut into parts.
struct Grid {
  int64_t rows = 1, rows_per_part = 1;
  int c = 1, lanes = 32, parts = 1;

  __host__ __device__ int lines() const { return block_threads / lanes; }
  unsigned columns() const { return static_cast<unsigned>((c + lanes - 1) / lanes); }
  dim3 block() const { return dim3(static_cast<unsigned>(lanes), static_cast<unsigned>(lines())); }
  dim3 blocks() const { return dim3(columns(), static_cast<unsigned>(parts)); }
  size_t floats() const { return (static_cast<size_t>(parts) + 1) * 2 * static_cast<size_t>(c); }  // of workspace: parts, then totals
};

constexpr int64_t least_rows_per_thread = 8;
constexpr int enough_blocks = 264;  // two for each multiprocessor of a large GPU; a constant, so that sums do not depend on the GPU

Grid grid_of(int64_t rows, int64_t c) {
  Grid grid{.rows = rows, .c = static_cast<int>(c)};
  while (grid.lanes / 2 >= c) grid.lanes /= 2;
  const int64_t most = std::max<int64_t>(1, rows / (grid.lines() * least_rows_per_thread));
  const int64_t wished = std::max<int64_t>(1, enough_blocks / grid.columns());
  const int64_t parts = std::min(most, wished);
  grid.rows_per_part = (rows + parts - 1) / parts;
  grid.parts = static_cast<int>((rows + grid.rows_per_part - 1) / grid.rows_per_part);
  return grid;
}

struct Span {
  int64_t first, end;
};
__device__ Span rows_of(const Grid& grid, int part) {
  const int64_t first = part * grid.rows_per_part, end = first + grid.rows_per_part;
  return {first, end < grid.rows ? end : grid.rows};
}
__device__ int channel_of(const Grid& grid) { return static_cast<int>(blockIdx.x) * grid.lanes + static_cast<int>(threadIdx.x); }

// Mean and sum of squared differences from it, of `count` values.
// Chan, Golub, LeVeque: "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
struct Moments {
  float count, mean, squares;

  __device__ void merge(const Moments& other) {
    if (other.count == 0) return;
    const float total = count + other.count, share = other.count / total, step = other.mean - mean;
    squares += other.squares + step * step * count * share;
    mean = fmaf(step, share, mean);
    count = total;
  }
};

// The merged values of the block's lines, in line 0.
template <class T>
__device__ T merge_lines(const Grid& grid, T value) {
  __shared__ T values[block_threads];
  const int place = static_cast<int>(threadIdx.y) * grid.lanes + static_cast<int>(threadIdx.x);
  values[place] = value;
  for (int half = grid.lines() / 2; half > 0; half /= 2) {
    __syncthreads();
    if (static_cast<int>(threadIdx.y) < half) values[place].merge(values[place + half * grid.lanes]);
  }
  __syncthreads();
  return values[threadIdx.x];
}

__global__ void __launch_bounds__(block_threads) moments_of_parts(Grid grid, const float* x, float* parts) {
  const int c = channel_of(grid), part = static_cast<int>(blockIdx.y);
  const Span rows = rows_of(grid, part);
  Moments moments = {0, 0, 0};
  if (c < grid.c && rows.first + threadIdx.y < rows.end) {
    // Sums of differences from the first value: their mean is small, so that little cancels.
    const float origin = x[(rows.first + threadIdx.y) * grid.c + c];
    float count = 0, sum = 0, squares = 0;
    for (int64_t row = rows.first + threadIdx.y; row < rows.end; row += grid.lines()) {
      const float difference = x[row * grid.c + c] - origin;
      count += 1;
      sum += difference;
      squares = fmaf(difference, difference, squares);
    }
    moments = {count, origin + sum / count, fmaxf(squares - sum * (sum / count), 0.0f)};
  }
  moments = merge_lines(grid, moments);
  if (threadIdx.y > 0 || c >= grid.c) return;
  parts[(2 * part) * grid.c + c] = moments.mean;
  parts[(2 * part + 1) * grid.c + c] = moments.squares;
}

__global__ void __launch_bounds__(block_threads) merge_moments(Grid grid, const float* parts, float* mean, float* variance) {
  const int c = channel_of(grid);
  Moments moments = {0, 0, 0};
  if (c < grid.c)
    for (int part = static_cast<int>(threadIdx.y); part < grid.parts; part += grid.lines()) {
      const Span rows = rows_of(grid, part);
      moments.merge({static_cast<float>(rows.end - rows.first), parts[(2 * part) * grid.c + c], parts[(2 * part + 1) * grid.c + c]});
    }
  moments = merge_lines(grid, moments);
  if (threadIdx.y > 0 || c >= grid.c) return;
  mean[c] = moments.mean;
  variance[c] = moments.squares / moments.count;
}

struct Normal {
  const float *scale, *shift, *mean, *variance;
  float epsilon;
};

__global__ void __launch_bounds__(block_threads) normalise(Grid grid, Normal normal, const float* x, float* y) {
  const int c = channel_of(grid);
  if (c >= grid.c) return;
  const float mean = normal.mean[c], factor = normal.scale[c] / sqrtf(normal.variance[c] + normal.epsilon), shift = normal.shift[c];
  const Span rows = rows_of(grid, static_cast<int>(blockIdx.y));
  for (int64_t row = rows.first + threadIdx.y; row < rows.end; row += grid.lines())
    y[row * grid.c + c] = fmaf(x[row * grid.c + c] - mean, factor, shift);
}

// ---- backward ----

struct Gradients {
  float shift, scale;
  __device__ void merge(const Gradients& other) {
    shift += other.shift;
    scale += other.scale;
  }
};

__global__ void __launch_bounds__(block_threads)
    gradients_of_parts(Grid grid, Normal normal, const float* x, const float* dy, float* parts) {
  const int c = channel_of(grid), part = static_cast<int>(blockIdx.y);
  const Span rows = rows_of(grid, part);
  Gradients sums = {0, 0};
  if (c < grid.c) {
    const float mean = normal.mean[c], inverse = 1 / sqrtf(normal.variance[c] + normal.epsilon);
    for (int64_t row = rows.first + threadIdx.y; row < rows.end; row += grid.lines()) {
      const float g = dy[row * grid.c + c];
      sums.shift += g;
      sums.scale = fmaf(g, (x[row * grid.c + c] - mean) * inverse, sums.scale);
    }
  }
  sums = merge_lines(grid, sums);
  if (threadIdx.y > 0 || c >= grid.c) return;
  parts[(2 * part) * grid.c + c] = sums.shift;
  parts[(2 * part + 1) * grid.c + c] = sums.scale;
}

struct ParameterGradients {
  float *scale, *shift;
  Into into_scale, into_shift;
};

// The totals go behind the parts, and into the gradients of the parameters.
__global__ void __launch_bounds__(block_threads) merge_gradients(Grid grid, float* parts, ParameterGradients out) {
  const int c = channel_of(grid);
  Gradients sums = {0, 0};
  if (c < grid.c)
    for (int part = static_cast<int>(threadIdx.y); part < grid.parts; part += grid.lines())
      sums.merge({parts[(2 * part) * grid.c + c], parts[(2 * part + 1) * grid.c + c]});
  sums = merge_lines(grid, sums);
  if (threadIdx.y > 0 || c >= grid.c) return;
  parts[(2 * grid.parts) * grid.c + c] = sums.shift;
  parts[(2 * grid.parts + 1) * grid.c + c] = sums.scale;
  out.shift[c] = out.into_shift == Into::add ? out.shift[c] + sums.shift : sums.shift;
  out.scale[c] = out.into_scale == Into::add ? out.scale[c] + sums.scale : sums.scale;
}

struct Step {
  const float *x, *dy, *sums;
  float* dx;
  Into into;
};

__global__ void __launch_bounds__(block_threads) gradient_of_input(Grid grid, Normal normal, Step step) {
  const int c = channel_of(grid);
  if (c >= grid.c) return;
  const float mean = normal.mean[c], inverse = 1 / sqrtf(normal.variance[c] + normal.epsilon), factor = normal.scale[c] * inverse;
  const float rows_inverse = 1 / static_cast<float>(grid.rows);
  const float shift = step.sums[c] * rows_inverse, scale = step.sums[grid.c + c] * rows_inverse;
  const Span rows = rows_of(grid, static_cast<int>(blockIdx.y));
  for (int64_t row = rows.first + threadIdx.y; row < rows.end; row += grid.lines()) {
    const int64_t i = row * grid.c + c;
    const float value = factor * (step.dy[i] - fmaf((step.x[i] - mean) * inverse, scale, shift));
    step.dx[i] = step.into == Into::add ? step.dx[i] + value : value;
  }
}

void batch_norm_forward(const BatchNormForward& op, const Buffers& buffers, const Launch& launch) {
  const Grid grid = grid_of(op.rows, op.c);
  float *mean = output(buffers, 1), *variance = output(buffers, 2);
  moments_of_parts<<<grid.blocks(), grid.block(), 0, launch.stream>>>(grid, input(buffers, 0), launch.floats());
  check_launch("moments_of_parts");
  merge_moments<<<grid.columns(), grid.block(), 0, launch.stream>>>(grid, launch.floats(), mean, variance);
  check_launch("merge_moments");
  const Normal normal = {input(buffers, 1), input(buffers, 2), mean, variance, op.epsilon};
  normalise<<<grid.blocks(), grid.block(), 0, launch.stream>>>(grid, normal, input(buffers, 0), output(buffers, 0));
  check_launch("normalise");
}

void batch_norm_inference(const BatchNormInference& op, const Buffers& buffers, const Launch& launch) {
  const Grid grid = grid_of(op.rows, op.c);
  const Normal normal = {input(buffers, 1), input(buffers, 2), input(buffers, 3), input(buffers, 4), op.epsilon};
  normalise<<<grid.blocks(), grid.block(), 0, launch.stream>>>(grid, normal, input(buffers, 0), output(buffers, 0));
  check_launch("normalise");
}

void batch_norm_backward(const BatchNormBackward& op, const Buffers& buffers, const Launch& launch) {
  const Grid grid = grid_of(op.rows, op.c);
  const Normal normal = {input(buffers, 2), nullptr, input(buffers, 3), input(buffers, 4), op.epsilon};
  const float *x = input(buffers, 0), *dy = input(buffers, 1);
  gradients_of_parts<<<grid.blocks(), grid.block(), 0, launch.stream>>>(grid, normal, x, dy, launch.floats());
  check_launch("gradients_of_parts");
  const ParameterGradients out = {output(buffers, 1), output(buffers, 2), op.into_scale, op.into_shift};
  merge_gradients<<<grid.columns(), grid.block(), 0, launch.stream>>>(grid, launch.floats(), out);
  check_launch("merge_gradients");
  const float* sums = launch.floats() + 2 * int64_t{grid.parts} * grid.c;
  gradient_of_input<<<grid.blocks(), grid.block(), 0, launch.stream>>>(grid, normal, {x, dy, sums, output(buffers, 0), op.into});
  check_launch("gradient_of_input");
}

template <class Op, class Function>
KernelPtr norm_kernel(const Op& op, Function function) {
  require_float(op, op.types);
  require_countable(op, 4 * op.c);  // two sums for each part and two totals: more parts than one only where channels are few
  const Grid grid = grid_of(op.rows, op.c);
  return kernel(std::to_string(grid.parts) + " parts of the rows", op, function, grid.floats() * sizeof(float));
}

}  // namespace

template <>
KernelPtr Kernels::make(const BatchNormForward& op, const Limits&) {
  return norm_kernel(op, batch_norm_forward);
}
template <>
KernelPtr Kernels::make(const BatchNormInference& op, const Limits&) {
  return norm_kernel(op, batch_norm_inference);
}
template <>
KernelPtr Kernels::make(const BatchNormBackward& op, const Limits&) {
  return norm_kernel(op, batch_norm_backward);
}

}  // namespace fovea::cuda
