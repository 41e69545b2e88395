// Batch normalisation per channel in two launches: sums over parts of the rows, which the shape alone decides, then element by element,
// each block adding up the parts of its channels. The sum with another branch and the activation behind it can be done on the way.
#include "fovea/backend/cuda/activate.cuh"
#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cuda/claims.h"
#include "fovea/backend/cuda/kernel.h"
#include "fovea/backend/cuda/rows.cuh"

namespace fovea::cuda {
namespace {

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

// Sums of the gradients of shift and scale.
struct Gradients {
  float shift, scale;
  __device__ void merge(const Gradients& other) {
    shift += other.shift;
    scale += other.scale;
  }
};

// The block's lines merged, for all of them.
template <int width, class T>
__device__ void merge_lines(const RowGrid& grid, T (&of_thread)[width]) {
  __shared__ T values[width][block_threads];
  const int place = static_cast<int>(threadIdx.y) * grid.lanes + static_cast<int>(threadIdx.x);
#pragma unroll
  for (int j = 0; j < width; ++j) values[j][place] = of_thread[j];
  for (int half = grid.lines() / 2; half > 0; half /= 2) {
    __syncthreads();
    if (static_cast<int>(threadIdx.y) >= half) continue;
#pragma unroll
    for (int j = 0; j < width; ++j) values[j][place].merge(values[j][place + half * grid.lanes]);
  }
  __syncthreads();
#pragma unroll
  for (int j = 0; j < width; ++j) of_thread[j] = values[j][threadIdx.x];
}

// ---- forward ----

template <int width, class T>
__global__ void __launch_bounds__(block_threads) moments_of_parts(RowGrid grid, const T* __restrict__ x, float* parts) {
  const int c = channel_of(grid, blockIdx.x), part = static_cast<int>(blockIdx.y);
  const Span rows = rows_of(grid, part);
  const int64_t first = rows.first + threadIdx.y;
  Moments moments[width] = {};
  if (c < grid.c && first < rows.end) {
    // Sums of differences from the first value: their mean is small, so that little cancels.
    __align__(16) float origin[width], sum[width] = {}, squares[width] = {};
    copy<width>(&x[first * grid.c + c], origin);
#pragma unroll 4
    for (int64_t row = first; row < rows.end; row += grid.lines()) {
      __align__(16) float value[width];
      copy<width>(&x[row * grid.c + c], value);
#pragma unroll
      for (int j = 0; j < width; ++j) {
        const float difference = value[j] - origin[j];
        sum[j] += difference;
        squares[j] = fmaf(difference, difference, squares[j]);
      }
    }
    const float count = static_cast<float>((rows.end - first + grid.lines() - 1) / grid.lines());
#pragma unroll
    for (int j = 0; j < width; ++j) moments[j] = {count, origin[j] + sum[j] / count, fmaxf(squares[j] - sum[j] * (sum[j] / count), 0.0f)};
  }
  merge_lines<width>(grid, moments);
  if (threadIdx.y > 0 || c >= grid.c) return;
#pragma unroll
  for (int j = 0; j < width; ++j) {
    parts[(2 * part) * grid.c + c + j] = moments[j].mean;
    parts[(2 * part + 1) * grid.c + c + j] = moments[j].squares;
  }
}

struct Normal {
  const float *scale, *shift, *mean, *variance;
  float epsilon;
};

// Moments that are still in parts, and where to leave them.
struct Parts {
  const float* data = nullptr;  // nullptr: given statistics
  float *mean = nullptr, *variance = nullptr;
};

template <int width>
__device__ void merge_parts(const RowGrid& grid, const Parts& parts, float (&mean)[width], float (&variance)[width]) {
  const int c = channel_of(grid, blockIdx.x);
  Moments moments[width] = {};
  if (c < grid.c)
    for (int part = static_cast<int>(threadIdx.y); part < grid.parts; part += grid.lines()) {
      const Span rows = rows_of(grid, part);
      __align__(16) float means[width], squares[width];
      copy<width>(&parts.data[(2 * part) * grid.c + c], means);
      copy<width>(&parts.data[(2 * part + 1) * grid.c + c], squares);
#pragma unroll
      for (int j = 0; j < width; ++j) moments[j].merge({static_cast<float>(rows.end - rows.first), means[j], squares[j]});
    }
  merge_lines<width>(grid, moments);
  if (c >= grid.c) return;
#pragma unroll
  for (int j = 0; j < width; ++j) {
    mean[j] = moments[j].mean;
    variance[j] = moments[j].squares / moments[j].count;
    if (blockIdx.y > 0 || threadIdx.y > 0) continue;
    parts.mean[c + j] = mean[j];
    parts.variance[c + j] = variance[j];
  }
}

// What follows the normalisation at once.
template <class T>
struct Tail {
  const T* added = nullptr;  // nullptr: nothing
  bool activates = false;
  Activation activation = Activation::relu;
  float slope = 0;
};

template <int width, class T>
__global__ void __launch_bounds__(block_threads)
    normalise(RowGrid grid, Normal normal, Parts parts, Tail<T> tail, const T* __restrict__ x, T* __restrict__ y) {
  const int c = channel_of(grid, blockIdx.x);
  float mean[width], variance[width], factor[width], shift[width];
  if (parts.data != nullptr) merge_parts<width>(grid, parts, mean, variance);
  if (c >= grid.c) return;
#pragma unroll
  for (int j = 0; j < width; ++j) {
    if (parts.data == nullptr) mean[j] = normal.mean[c + j], variance[j] = normal.variance[c + j];
    factor[j] = normal.scale[c + j] / sqrtf(variance[j] + normal.epsilon);
    shift[j] = normal.shift[c + j];
  }
  const Span rows = rows_of(grid, static_cast<int>(blockIdx.y));
#pragma unroll 4
  for (int64_t row = rows.first + threadIdx.y; row < rows.end; row += grid.lines()) {
    __align__(16) float value[width], other[width] = {};
    copy<width>(&x[row * grid.c + c], value);
    if (tail.added != nullptr) copy<width>(&tail.added[row * grid.c + c], other);
#pragma unroll
    for (int j = 0; j < width; ++j) {
      value[j] = fmaf(value[j] - mean[j], factor[j], shift[j]);
      if (tail.added != nullptr) value[j] += other[j];
      if (tail.activates) value[j] = activate(tail.activation, value[j], tail.slope);
    }
    put<width>(value, &y[row * grid.c + c]);
  }
}

// ---- backward ----

// Where the gradient of the normalised values comes from: dy itself, or dy through the activation behind them.
template <class T>
struct Incoming {
  const T* dy = nullptr;
  const T* saved = nullptr;  // of the activation; nullptr: none
  Activation activation = Activation::relu;
  float slope = 0;

  template <int width>
  __device__ void read(int64_t place, float (&g)[width]) const {
    __align__(16) float at[width] = {};
    copy<width>(dy + place, g);
    if (saved == nullptr) return;
    copy<width>(saved + place, at);
#pragma unroll
    for (int j = 0; j < width; ++j) g[j] = activation_gradient(activation, at[j], g[j], slope);
  }
};

template <int width, class T>
__global__ void __launch_bounds__(block_threads)
    gradients_of_parts(RowGrid grid, Normal normal, Incoming<T> incoming, const T* __restrict__ x, float* parts) {
  const int c = channel_of(grid, blockIdx.x), part = static_cast<int>(blockIdx.y);
  const Span rows = rows_of(grid, part);
  Gradients sums[width] = {};
  if (c < grid.c) {
    float mean[width], inverse[width];
#pragma unroll
    for (int j = 0; j < width; ++j) mean[j] = normal.mean[c + j], inverse[j] = 1 / sqrtf(normal.variance[c + j] + normal.epsilon);
#pragma unroll 2
    for (int64_t row = rows.first + threadIdx.y; row < rows.end; row += grid.lines()) {
      __align__(16) float value[width], g[width];
      copy<width>(&x[row * grid.c + c], value);
      incoming.template read<width>(row * grid.c + c, g);
#pragma unroll
      for (int j = 0; j < width; ++j) {
        sums[j].shift += g[j];
        sums[j].scale = fmaf(g[j], (value[j] - mean[j]) * inverse[j], sums[j].scale);
      }
    }
  }
  merge_lines<width>(grid, sums);
  if (threadIdx.y > 0 || c >= grid.c) return;
#pragma unroll
  for (int j = 0; j < width; ++j) {
    parts[(2 * part) * grid.c + c + j] = sums[j].shift;
    parts[(2 * part + 1) * grid.c + c + j] = sums[j].scale;
  }
}

template <class T>
struct Outgoing {
  T* dx;
  float *dscale, *dshift;
  T* g;  // the incoming gradient, for others; nullptr: nobody reads it
  Into into, into_scale, into_shift;
};

__device__ void store(Into into, float& to, float value) { to = into == Into::add ? to + value : value; }

template <int width, class T>
__device__ void merge_parts(const RowGrid& grid, const float* parts, const Outgoing<T>& out, Gradients (&sums)[width]) {
  const int c = channel_of(grid, blockIdx.x);
  if (c < grid.c)
    for (int part = static_cast<int>(threadIdx.y); part < grid.parts; part += grid.lines()) {
      __align__(16) float shifts[width], scales[width];
      copy<width>(&parts[(2 * part) * grid.c + c], shifts);
      copy<width>(&parts[(2 * part + 1) * grid.c + c], scales);
#pragma unroll
      for (int j = 0; j < width; ++j) sums[j].merge({shifts[j], scales[j]});
    }
  merge_lines<width>(grid, sums);
  if (blockIdx.y > 0 || threadIdx.y > 0 || c >= grid.c) return;
#pragma unroll
  for (int j = 0; j < width; ++j) {
    store(out.into_shift, out.dshift[c + j], sums[j].shift);
    store(out.into_scale, out.dscale[c + j], sums[j].scale);
  }
}

template <int width, class T>
__global__ void __launch_bounds__(block_threads)
    gradient_of_input(RowGrid grid, Normal normal, Incoming<T> incoming, const T* __restrict__ x, const float* parts, Outgoing<T> out) {
  const int c = channel_of(grid, blockIdx.x);
  Gradients sums[width] = {};
  merge_parts<width>(grid, parts, out, sums);
  if (c >= grid.c) return;
  float mean[width], inverse[width], factor[width], shift[width], scale[width];
  const float rows_inverse = 1 / static_cast<float>(grid.rows);
#pragma unroll
  for (int j = 0; j < width; ++j) {
    mean[j] = normal.mean[c + j];
    inverse[j] = 1 / sqrtf(normal.variance[c + j] + normal.epsilon);
    factor[j] = normal.scale[c + j] * inverse[j];
    shift[j] = sums[j].shift * rows_inverse;
    scale[j] = sums[j].scale * rows_inverse;
  }
  const Span rows = rows_of(grid, static_cast<int>(blockIdx.y));
#pragma unroll 2
  for (int64_t row = rows.first + threadIdx.y; row < rows.end; row += grid.lines()) {
    const int64_t place = row * grid.c + c;
    __align__(16) float value[width], g[width], before[width] = {};
    copy<width>(&x[place], value);
    incoming.template read<width>(place, g);
    if (out.g != nullptr) put<width>(g, &out.g[place]);
    if (out.into == Into::add) copy<width>(&out.dx[place], before);
#pragma unroll
    for (int j = 0; j < width; ++j)
      store(out.into, before[j], factor[j] * (g[j] - fmaf((value[j] - mean[j]) * inverse[j], scale[j], shift[j])));
    put<width>(before, &out.dx[place]);
  }
}

// ---- launches ----

template <class T>
RowGrid grid_of(int64_t rows, int64_t c) {
  return row_grid(rows, c, most_abreast<T>);
}

template <class T>
void launch_moments(const RowGrid& grid, const T* x, const Launch& launch) {
  with_width<most_abreast<T>>(grid.width, [&](auto width) {
    moments_of_parts<width><<<grid.blocks(), grid.block(), 0, launch.stream>>>(grid, x, launch.floats());
  });
  check_launch("moments_of_parts");
}

template <class T>
void launch_normalise(const RowGrid& grid, const Normal& normal, const Parts& parts, const Tail<T>& tail, const Buffers& buffers,
                      const Launch& launch) {
  with_width<most_abreast<T>>(grid.width, [&](auto width) {
    normalise<width>
        <<<grid.blocks(), grid.block(), 0, launch.stream>>>(grid, normal, parts, tail, input_of<T>(buffers, 0), output_of<T>(buffers, 0));
  });
  check_launch("normalise");
}

template <class T>
void launch_gradients(const RowGrid& grid, const Normal& normal, const Incoming<T>& incoming, const T* x, const Outgoing<T>& out,
                      const Launch& launch) {
  with_width<most_abreast<T>>(grid.width, [&](auto width) {
    gradients_of_parts<width><<<grid.blocks(), grid.block(), 0, launch.stream>>>(grid, normal, incoming, x, launch.floats());
    check_launch("gradients_of_parts");
    gradient_of_input<width><<<grid.blocks(), grid.block(), 0, launch.stream>>>(grid, normal, incoming, x, launch.floats(), out);
  });
  check_launch("gradient_of_input");
}

template <class T>
Tail<T> tail_of(const NormTail& like, const Buffers& buffers, size_t place) {
  return {.added = like.adds ? input_of<T>(buffers, place) : nullptr,
          .activates = like.activation.has_value(),
          .activation = like.activation.value_or(Activation::relu),
          .slope = like.slope};
}

template <class T>
Outgoing<T> outgoing(const BatchNormBackward& op, const Buffers& buffers) {
  return {.dx = output_of<T>(buffers, 0),
          .dscale = output(buffers, 1),
          .dshift = output(buffers, 2),
          .g = buffers.out.size() > 3 ? output_of<T>(buffers, 3) : nullptr,
          .into = op.into,
          .into_scale = op.into_scale,
          .into_shift = op.into_shift};
}

size_t bytes_of(const BatchNormInference&, const RowGrid&) { return 0; }
template <class Op>
size_t bytes_of(const Op&, const RowGrid& grid) {  // two sums of each part
  return static_cast<size_t>(grid.parts) * 2 * static_cast<size_t>(grid.c) * sizeof(float);
}

// function(T) gives what enqueues the kernels for values of this type.
template <class Op, class Function>
KernelPtr norm_kernel(const Op& op, Function function) {
  require_countable(op, 4 * op.c);  // two sums for each part: more parts than one only where channels are few
  return with_values(require_values(op), [&]<class T>(T type) {
    const RowGrid grid = grid_of<T>(op.rows, op.c);
    return kernel(std::to_string(grid.parts) + " parts of the rows", op, function(type), bytes_of(op, grid));
  });
}

}  // namespace

template <>
KernelPtr Kernels::make(const BatchNormForward& op, const Limits&) {
  return batch_norm_with(op, {});
}
template <>
KernelPtr Kernels::make(const BatchNormInference& op, const Limits&) {
  return batch_norm_with(op, {});
}
template <>
KernelPtr Kernels::make(const BatchNormBackward& op, const Limits&) {
  return norm_kernel(op, []<class T>(T) {
    return [](const BatchNormBackward& o, const Buffers& buffers, const Launch& launch) {
      const Normal normal = {input(buffers, 2), nullptr, input(buffers, 3), input(buffers, 4), o.epsilon};
      const Incoming<T> incoming = {.dy = input_of<T>(buffers, 1)};
      launch_gradients(grid_of<T>(o.rows, o.c), normal, incoming, input_of<T>(buffers, 0), outgoing<T>(o, buffers), launch);
    };
  });
}

KernelPtr batch_norm_with(const BatchNormForward& op, const NormTail& tail) {
  return norm_kernel(op, [tail]<class T>(T) {
    return [tail](const BatchNormForward& o, const Buffers& buffers, const Launch& launch) {
      const RowGrid grid = grid_of<T>(o.rows, o.c);
      launch_moments(grid, input_of<T>(buffers, 0), launch);
      const Normal normal = {input(buffers, 1), input(buffers, 2), nullptr, nullptr, o.epsilon};
      const Parts parts = {launch.floats(), output(buffers, 1), output(buffers, 2)};
      launch_normalise(grid, normal, parts, tail_of<T>(tail, buffers, 3), buffers, launch);
    };
  });
}
KernelPtr batch_norm_with(const BatchNormInference& op, const NormTail& tail) {
  return norm_kernel(op, [tail]<class T>(T) {
    return [tail](const BatchNormInference& o, const Buffers& buffers, const Launch& launch) {
      const Normal normal = {input(buffers, 1), input(buffers, 2), input(buffers, 3), input(buffers, 4), o.epsilon};
      launch_normalise(grid_of<T>(o.rows, o.c), normal, {}, tail_of<T>(tail, buffers, 5), buffers, launch);
    };
  });
}

KernelPtr batch_norm_backward_with(const BatchNormBackward& op, const ActivationBackward& activation) {
  return norm_kernel(op, [activation]<class T>(T) {
    return [activation](const BatchNormBackward& o, const Buffers& buffers, const Launch& launch) {
      const Normal normal = {input(buffers, 3), nullptr, input(buffers, 4), input(buffers, 5), o.epsilon};
      const Incoming<T> incoming = {
          .dy = input_of<T>(buffers, 1), .saved = input_of<T>(buffers, 0), .activation = activation.activation, .slope = activation.slope};
      launch_gradients(grid_of<T>(o.rows, o.c), normal, incoming, input_of<T>(buffers, 2), outgoing<T>(o, buffers), launch);
    };
  });
}

}  // namespace fovea::cuda
