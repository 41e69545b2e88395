// The gradient of a batch norm in two passes over the rows: sums over parts of them, merged per channel, then element by element. The
// activation behind the norm can be differentiated on the way; of relu, the input of the norm says where it let the gradient through.
#include "fovea/backend/cuda/activate.cuh"
#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cuda/claims.h"
#include "fovea/backend/cuda/norm_rows.cuh"

namespace fovea::cuda {
namespace {

// What stands between dy and the norm: nothing, relu known by its result or by the norm's input, or another activation.
enum class Behind : uint8_t { nothing, relu_by_y, relu_by_x, activation };

template <class T>
struct Incoming {
  const T* dy = nullptr;
  const T* saved = nullptr;  // of the activation, where it is read
  Activation activation = Activation::relu;
  float slope = 0;
};

// The thread's channels as the forward pass normalised them.
template <int width, Behind behind>
struct Channels {
  float mean[width], factor[width], shift[width];

  __device__ Channels(const Normal& normal, int c) {
#pragma unroll
    for (int j = 0; j < width; ++j) {
      mean[j] = normal.mean[c + j];
      factor[j] = normal.scale[c + j] / sqrtf(normal.variance[c + j] + normal.epsilon);
      if (behind == Behind::relu_by_x) shift[j] = normal.shift[c + j];
    }
  }
};

// Rows on their way: x, dy, and what the activation saved.
template <int width, Behind behind, class T>
struct Arriving {
  RowPiece<width, T> x, dy, saved;
  static constexpr bool reads_saved = behind == Behind::relu_by_y || behind == Behind::activation;

  __device__ void load(const T* all_x, const Incoming<T>& incoming, int64_t place) {
    x.load(all_x + place);
    dy.load(incoming.dy + place);
    if (reads_saved) saved.load(incoming.saved + place);
  }
  // Differences of x from the mean, and the gradient of the normalised values.
  __device__ void unpack(const Incoming<T>& incoming, const Channels<width, behind>& channels, float (&difference)[width],
                         float (&g)[width]) const {
    float at[width];
    x.widen(difference);
    dy.widen(g);
    if (reads_saved) saved.widen(at);
#pragma unroll
    for (int j = 0; j < width; ++j) {
      difference[j] -= channels.mean[j];
      if (behind == Behind::relu_by_x) at[j] = widened(narrowed<T>(fmaf(difference[j], channels.factor[j], channels.shift[j])));
      if (behind == Behind::activation)
        g[j] = activation_gradient(incoming.activation, at[j], g[j], incoming.slope);
      else if (behind != Behind::nothing)
        g[j] = at[j] <= 0 ? 0 : g[j];
    }
  }
};

template <int width, Behind behind, class T>
__global__ void __launch_bounds__(block_threads, 2)
    gradients_of_parts(NormGrid grid, Normal normal, Incoming<T> incoming, const T* __restrict__ x, float* __restrict__ parts) {
  constexpr int batch = behind == Behind::activation ? 1 : 4;
  const OwnRows<Walk::down> own(grid);
  float shift[width] = {}, scale[width] = {};
  if (own.count() > 0) {
    const Channels<width, behind> channels(normal, own.c);
    own.template for_batches<batch>([&](int64_t first, int64_t apart, int valid) {
      Arriving<width, behind, T> rows[batch];
#pragma unroll
      for (int i = 0; i < batch; ++i)
        if (i < valid) rows[i].load(x, incoming, first + i * apart);
#pragma unroll
      for (int i = 0; i < batch; ++i) {
        if (i >= valid) continue;
        float difference[width], g[width];
        rows[i].unpack(incoming, channels, difference, g);
#pragma unroll
        for (int j = 0; j < width; ++j) {
          shift[j] += g[j];
          scale[j] = fmaf(g[j], difference[j], scale[j]);
        }
      }
    });
  }
  sum_lines<width>(grid.lanes, shift);
  sum_lines<width>(grid.lanes, scale);
  if (threadIdx.y > 0 || own.c >= grid.c) return;
  float* to = parts + int64_t{blockIdx.y} * 2 * grid.c + own.c;
#pragma unroll
  for (int j = 0; j < width; ++j) {
    to[j] = shift[j];
    to[grid.c + j] = scale[j];
  }
}

template <class T>
struct Outgoing {
  T* dx;
  float *dscale, *dshift;
  T* g;  // the gradient of the normalised values, for others; nullptr: nobody reads it
  Into into, into_scale, into_shift;
};

__device__ void store(Into into, float& to, float value) { to = into == Into::add ? to + value : value; }

// The sums of all parts, to dshift and dscale, and by themselves to `sums`: (2, c).
template <class T>
__global__ void __launch_bounds__(merging_threads)
    merge_gradients(NormGrid grid, Normal normal, const float* __restrict__ parts, Outgoing<T> out, float* __restrict__ sums) {
  const int c = grid.c, channel = static_cast<int>(blockIdx.x) * merging_lanes + static_cast<int>(threadIdx.x);
  float shift = 0, scale = 0;
  if (channel < c)
#pragma unroll 4
    for (int part = static_cast<int>(threadIdx.y); part < grid.deal.parts; part += merging_lines) {
      const float* from = parts + int64_t{part} * 2 * c + channel;
      shift += from[0];
      scale += from[c];
    }
  shift = sum_merging_lines(shift);
  scale = sum_merging_lines(scale);
  if (channel >= c || threadIdx.y > 0) return;
  scale /= sqrtf(normal.variance[channel] + normal.epsilon);
  sums[channel] = shift;
  sums[c + channel] = scale;
  store(out.into_shift, out.dshift[channel], shift);
  store(out.into_scale, out.dscale[channel], scale);
}

template <int width, Behind behind, class T>
__global__ void __launch_bounds__(block_threads, 2)
    gradient_of_input(NormGrid grid, Normal normal, Incoming<T> incoming, const T* __restrict__ x, const float* __restrict__ sums,
                      Outgoing<T> out) {
  constexpr int batch = behind == Behind::activation ? 1 : 4;
  const OwnRows<Walk::up> own(grid);
  if (own.count() == 0) return;
  const Channels<width, behind> channels(normal, own.c);
  float shift[width], scale[width];  // what every row loses, and what it loses for each difference from the mean
  const float rows_inverse = 1 / static_cast<float>(grid.deal.rows);
#pragma unroll
  for (int j = 0; j < width; ++j) {
    shift[j] = sums[own.c + j] * rows_inverse;
    scale[j] = sums[grid.c + own.c + j] * rows_inverse / sqrtf(normal.variance[own.c + j] + normal.epsilon);
  }
  own.template for_batches<batch>([&](int64_t first, int64_t apart, int valid) {
    Arriving<width, behind, T> rows[batch];
#pragma unroll
    for (int i = 0; i < batch; ++i)
      if (i < valid) rows[i].load(x, incoming, first + i * apart);
#pragma unroll
    for (int i = 0; i < batch; ++i) {
      if (i >= valid) continue;
      const int64_t place = first + i * apart;
      float difference[width], g[width], dx[width] = {};
      rows[i].unpack(incoming, channels, difference, g);
      if (out.g != nullptr) put<width>(g, out.g + place);
      if (out.into == Into::add) copy<width>(out.dx + place, dx);
#pragma unroll
      for (int j = 0; j < width; ++j) store(out.into, dx[j], channels.factor[j] * (g[j] - fmaf(difference[j], scale[j], shift[j])));
      put<width>(dx, out.dx + place);
    }
  });
}

// ---- launches ----

template <class T>
NormGrid grid_of(int64_t rows, int64_t c) {
  return norm_grid(rows, c, most_abreast<T>, 2 * planned_multiprocessors);
}

template <Behind behind, class T>
void launch_gradients(const NormGrid& grid, const Normal& normal, const Incoming<T>& incoming, const T* x, const Outgoing<T>& out,
                      const Launch& launch) {
  float *parts = launch.floats(), *sums = parts + int64_t{grid.deal.parts} * 2 * grid.c;
  with_width<most_abreast<T>>(grid.width, [&](auto width) {
    gradients_of_parts<width, behind><<<grid.blocks(), grid.block(), 0, launch.stream>>>(grid, normal, incoming, x, parts);
    check_launch("gradients_of_parts");
    merge_gradients<<<blocks_of_each(grid.c, merging_lanes), dim3(merging_lanes, merging_lines), 0, launch.stream>>>(grid, normal, parts,
                                                                                                                     out, sums);
    check_launch("merge_gradients");
    gradient_of_input<width, behind><<<grid.blocks(), grid.block(), 0, launch.stream>>>(grid, normal, incoming, x, sums, out);
  });
  check_launch("gradient_of_input");
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

// function(T) gives what enqueues the kernels for values of this type.
template <class Function>
KernelPtr backward_kernel(const BatchNormBackward& op, std::string_view how, Function function) {
  require_countable(op, 4 * op.c);  // two sums for each part: more parts than one only where channels are few
  return with_values(require_values(op), [&]<class T>(T type) {
    const NormGrid grid = grid_of<T>(op.rows, op.c);
    const size_t bytes = bytes_of_parts(grid.deal, op.c) + 2 * static_cast<size_t>(op.c) * sizeof(float);
    return kernel(std::to_string(grid.deal.parts) + " parts of the rows" + std::string(how), op, function(type), bytes);
  });
}

}  // namespace

template <>
KernelPtr Kernels::make(const BatchNormBackward& op, const Limits&) {
  return backward_kernel(op, "", []<class T>(T) {
    return [](const BatchNormBackward& o, const Buffers& buffers, const Launch& launch) {
      const Normal normal = {input(buffers, 2), nullptr, input(buffers, 3), input(buffers, 4), o.epsilon};
      launch_gradients<Behind::nothing>(grid_of<T>(o.rows, o.c), normal, {.dy = input_of<T>(buffers, 1)}, input_of<T>(buffers, 0),
                                        outgoing<T>(o, buffers), launch);
    };
  });
}

KernelPtr batch_norm_backward_with(const BatchNormBackward& op, const ActivationBackward& activation) {
  return backward_kernel(op, "", [activation]<class T>(T) {
    return [activation](const BatchNormBackward& o, const Buffers& buffers, const Launch& launch) {
      const Normal normal = {input(buffers, 3), nullptr, input(buffers, 4), input(buffers, 5), o.epsilon};
      const Incoming<T> incoming = {
          .dy = input_of<T>(buffers, 1), .saved = input_of<T>(buffers, 0), .activation = activation.activation, .slope = activation.slope};
      const auto run =
          activation.activation == Activation::relu ? launch_gradients<Behind::relu_by_y, T> : launch_gradients<Behind::activation, T>;
      run(grid_of<T>(o.rows, o.c), normal, incoming, input_of<T>(buffers, 2), outgoing<T>(o, buffers), launch);
    };
  });
}

KernelPtr batch_norm_backward_with_relu(const BatchNormBackward& op) {
  return backward_kernel(op, ", relu by its input", []<class T>(T) {
    return [](const BatchNormBackward& o, const Buffers& buffers, const Launch& launch) {
      const Normal normal = {input(buffers, 2), input(buffers, 3), input(buffers, 4), input(buffers, 5), o.epsilon};
      launch_gradients<Behind::relu_by_x>(grid_of<T>(o.rows, o.c), normal, {.dy = input_of<T>(buffers, 1)}, input_of<T>(buffers, 0),
                                          outgoing<T>(o, buffers), launch);
    };
  });
}

}  // namespace fovea::cuda
