// The gradient of a batch norm in two passes over the rows: sums over parts of them, merged per channel, then element by element. The
// activation behind the norm can be differentiated on the way; of relu, the input of the norm says where it let the gradient through.
#include "fovea/backend/cuda/activate.cuh"
#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cuda/claims.h"
#include "fovea/backend/cuda/norm_rows.cuh"

#include <array>
#include <span>

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

// Norms that have the same gradient behind them.
template <int norms, class T>
struct Sources {
  Normal normal[norms];
  const T* x[norms];
};

template <Behind behind>
inline constexpr Shift shift_for = behind == Behind::relu_by_x ? Shift::read : Shift::absent;

// The thread's channels as the forward pass normalised them.
template <int width, Behind behind, int norms, class T>
struct AllChannels {
  Channels<width, shift_for<behind>> of[norms];

  __device__ AllChannels(const Sources<norms, T>& sources, int c) {
#pragma unroll
    for (int i = 0; i < norms; ++i) of[i].read(sources.normal[i], c);
  }
};

// A row on its way: x of each norm, dy, and what the activation saved.
template <int width, Behind behind, int norms, class T>
struct Arriving {
  RowPiece<width, T> x[norms], dy, saved;
  static constexpr bool reads_saved = behind == Behind::relu_by_y || behind == Behind::activation;

  __device__ void load(const Sources<norms, T>& sources, const Incoming<T>& incoming, int64_t place) {
#pragma unroll
    for (int i = 0; i < norms; ++i) x[i].load(sources.x[i] + place);
    dy.load(incoming.dy + place);
    if (reads_saved) saved.load(incoming.saved + place);
  }
  // Differences of x from the mean, and the gradient of the normalised values.
  __device__ void unpack(const Incoming<T>& incoming, const AllChannels<width, behind, norms, T>& channels,
                         float (&difference)[norms][width], float (&g)[width]) const {
    float at[width];
    dy.widen(g);
    if (reads_saved) saved.widen(at);
#pragma unroll
    for (int i = 0; i < norms; ++i) {
      x[i].widen(difference[i]);
#pragma unroll
      for (int j = 0; j < width; ++j) difference[i][j] -= channels.of[i].mean[j];
    }
#pragma unroll
    for (int j = 0; j < width; ++j) {
      if constexpr (behind == Behind::relu_by_x)
        at[j] = widened(narrowed<T>(fmaf(difference[0][j], channels.of[0].factor[j], channels.of[0].shift[j])));
      if (behind == Behind::activation)
        g[j] = activation_gradient(incoming.activation, at[j], g[j], incoming.slope);
      else if (behind != Behind::nothing)
        g[j] = at[j] <= 0 ? 0 : g[j];
    }
  }
};

// Rows of a thread on their way at once: as many as there are registers for.
template <Behind behind, int norms>
inline constexpr int rows_abreast = behind == Behind::activation ? 1
                                    : norms == 1                 ? 4
                                                                 : 2;

// Sums for each part: of the gradient, and for each norm of the gradient times the difference from the mean; (parts, 1 + norms, c).
template <int width, Behind behind, int norms, class T>
__global__ void __launch_bounds__(block_threads, 2)
    gradients_of_parts(NormGrid grid, Sources<norms, T> sources, Incoming<T> incoming, float* __restrict__ parts) {
  constexpr int batch = rows_abreast<behind, norms>;
  const OwnRows<Walk::down> own(grid);
  float sums[1 + norms][width] = {};
  if (own.count() > 0) {
    const AllChannels<width, behind, norms, T> channels(sources, own.c);
    own.template for_batches<batch>([&](int64_t first, int64_t apart, int valid) {
      Arriving<width, behind, norms, T> rows[batch];
#pragma unroll
      for (int i = 0; i < batch; ++i)
        if (i < valid) rows[i].load(sources, incoming, first + i * apart);
#pragma unroll
      for (int i = 0; i < batch; ++i) {
        if (i >= valid) continue;
        float difference[norms][width], g[width];
        rows[i].unpack(incoming, channels, difference, g);
#pragma unroll
        for (int j = 0; j < width; ++j) {
          sums[0][j] += g[j];
#pragma unroll
          for (int n = 0; n < norms; ++n) sums[1 + n][j] = fmaf(g[j], difference[n][j], sums[1 + n][j]);
        }
      }
    });
  }
#pragma unroll
  for (int i = 0; i < 1 + norms; ++i) sum_lines<width>(grid.lanes, sums[i]);
  if (threadIdx.y > 0 || own.c >= grid.c) return;
  float* to = parts + int64_t{blockIdx.y} * (1 + norms) * grid.c + own.c;
#pragma unroll
  for (int i = 0; i < 1 + norms; ++i)
#pragma unroll
    for (int j = 0; j < width; ++j) to[i * grid.c + j] = sums[i][j];
}

template <class T>
struct Outgoing {
  T* dx;
  float *dscale, *dshift;
  T* g;  // the gradient of the normalised values, for others; nullptr: nobody reads it
  Into into, into_scale, into_shift;
};
template <int norms, class T>
struct Destinations {
  Outgoing<T> of[norms];
};

__device__ void store(Into into, float& to, float value) { to = into == Into::add ? to + value : value; }

// The sums of all parts, to dshift and dscale, and by themselves to `totals`: (1 + norms, c).
template <int width, int norms, class T>
__global__ void __launch_bounds__(merging_threads)
    merge_gradients(NormGrid grid, Sources<norms, T> sources, const float* __restrict__ parts, Destinations<norms, T> out,
                    float* __restrict__ totals) {
  const MergingThread<width> own;
  const int c = grid.c;
  float sums[1 + norms][width] = {};
  if (own.channel < c)
#pragma unroll 2
    for (int part = own.line; part < grid.deal.parts; part += own.lines)
#pragma unroll
      for (int i = 0; i < 1 + norms; ++i) {
        float of_part[width];
        copy<width>(parts + (int64_t{part} * (1 + norms) + i) * c + own.channel, of_part);
#pragma unroll
        for (int j = 0; j < width; ++j) sums[i][j] += of_part[j];
      }
  float all[1 + norms];
#pragma unroll
  for (int i = 0; i < 1 + norms; ++i) all[i] = sum_of_lines(sums[i]);
  const int channel = static_cast<int>(blockIdx.x) * merging_channels + static_cast<int>(threadIdx.x);
  if (threadIdx.x >= merging_channels || channel >= c) return;
  totals[channel] = all[0];
#pragma unroll
  for (int n = 0; n < norms; ++n) {
    const float scale = all[1 + n] / sqrtf(sources.normal[n].variance[channel] + sources.normal[n].epsilon);
    totals[(1 + n) * c + channel] = scale;
    store(out.of[n].into_shift, out.of[n].dshift[channel], all[0]);
    store(out.of[n].into_scale, out.of[n].dscale[channel], scale);
  }
}

template <int width, Behind behind, int norms, class T>
__global__ void __launch_bounds__(block_threads, 2) gradient_of_input(NormGrid grid, Sources<norms, T> sources, Incoming<T> incoming,
                                                                      const float* __restrict__ totals, Destinations<norms, T> out) {
  constexpr int batch = rows_abreast<behind, norms>;
  const OwnRows<Walk::up> own(grid);
  if (own.count() == 0) return;
  const AllChannels<width, behind, norms, T> channels(sources, own.c);
  float shift[width], scale[norms][width];  // what every row loses, and what it loses for each difference from the mean
  const float rows_inverse = 1 / static_cast<float>(grid.deal.rows);
#pragma unroll
  for (int j = 0; j < width; ++j) {
    shift[j] = totals[own.c + j] * rows_inverse;
#pragma unroll
    for (int n = 0; n < norms; ++n)
      scale[n][j] =
          totals[(1 + n) * grid.c + own.c + j] * rows_inverse / sqrtf(sources.normal[n].variance[own.c + j] + sources.normal[n].epsilon);
  }
  own.template for_batches<batch>([&](int64_t first, int64_t apart, int valid) {
    Arriving<width, behind, norms, T> rows[batch];
#pragma unroll
    for (int i = 0; i < batch; ++i)
      if (i < valid) rows[i].load(sources, incoming, first + i * apart);
#pragma unroll
    for (int i = 0; i < batch; ++i) {
      if (i >= valid) continue;
      const int64_t place = first + i * apart;
      float difference[norms][width], g[width];
      rows[i].unpack(incoming, channels, difference, g);
#pragma unroll
      for (int n = 0; n < norms; ++n) {
        const Outgoing<T>& to = out.of[n];
        float dx[width] = {};
        if (to.g != nullptr) put<width>(g, to.g + place);
        if (to.into == Into::add) copy<width>(to.dx + place, dx);
#pragma unroll
        for (int j = 0; j < width; ++j)
          store(to.into, dx[j], channels.of[n].factor[j] * (g[j] - fmaf(difference[n][j], scale[n][j], shift[j])));
        put<width>(dx, to.dx + place);
      }
    }
  });
}

// ---- launches ----

template <class T>
NormGrid grid_of(int64_t rows, int64_t c) {
  return norm_grid(rows, c, most_abreast<T>, 2 * planned_multiprocessors);
}

// Workspace: the sums of the parts, then those of all.
template <Behind behind, int norms, class T>
void launch_gradients(const NormGrid& grid, const Sources<norms, T>& sources, const Incoming<T>& incoming,
                      const Destinations<norms, T>& out, const Launch& launch) {
  float *parts = launch.floats(), *totals = parts + int64_t{grid.deal.parts} * (1 + norms) * grid.c;
  with_width<most_abreast<T>>(grid.width, [&](auto width) {
    gradients_of_parts<width, behind><<<grid.blocks(), grid.block(), 0, launch.stream>>>(grid, sources, incoming, parts);
    check_launch("gradients_of_parts");
    with_merging_width(grid.c, [&](auto merging_width) {
      merge_gradients<merging_width>
          <<<blocks_of_each(grid.c, merging_channels), merging_threads, 0, launch.stream>>>(grid, sources, parts, out, totals);
    });
    check_launch("merge_gradients");
    gradient_of_input<width, behind><<<grid.blocks(), grid.block(), 0, launch.stream>>>(grid, sources, incoming, totals, out);
  });
  check_launch("gradient_of_input");
}

size_t bytes_of_gradients(const NormGrid& grid, int norms) {
  return static_cast<size_t>(grid.deal.parts + 1) * static_cast<size_t>(1 + norms) * static_cast<size_t>(grid.c) * sizeof(float);
}

// out: dx dscale dshift [dy of the norm]
template <class T>
Outgoing<T> outgoing(const BatchNormBackward& op, std::span<const Tensor> out) {
  return {.dx = static_cast<T*>(out[0].data),
          .dscale = static_cast<float*>(out[1].data),
          .dshift = static_cast<float*>(out[2].data),
          .g = out.size() > 3 ? static_cast<T*>(out[3].data) : nullptr,
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
    return kernel(std::to_string(grid.deal.parts) + " parts of the rows" + std::string(how), op, function(type),
                  bytes_of_gradients(grid, 1));
  });
}

}  // namespace

template <>
KernelPtr Kernels::make(const BatchNormBackward& op, const Limits&) {
  return backward_kernel(op, "", []<class T>(T) {
    return [](const BatchNormBackward& o, const Buffers& buffers, const Launch& launch) {
      const Normal normal = {input(buffers, 2), nullptr, input(buffers, 3), input(buffers, 4), o.epsilon};
      launch_gradients<Behind::nothing, 1, T>(grid_of<T>(o.rows, o.c), {{normal}, {input_of<T>(buffers, 0)}},
                                              {.dy = input_of<T>(buffers, 1)}, {{outgoing<T>(o, buffers.out)}}, launch);
    };
  });
}

void launch_merge_gradients(const BatchNormBackward& op, const Deal& deal, const Normal& normal, std::span<const Tensor> out,
                            const float* parts, float* totals, const Launch& launch) {
  const NormGrid grid{.deal = deal, .c = static_cast<int>(op.c)};
  const Sources<1, float> sources = {{normal}, {}};
  const Destinations<1, float> to = {{outgoing<float>(op, out.first(3))}};
  with_merging_width(grid.c, [&](auto width) {
    merge_gradients<width>
        <<<blocks_of_each(grid.c, merging_channels), merging_threads, 0, launch.stream>>>(grid, sources, parts, to, totals);
  });
  check_launch("merge_gradients");
}

KernelPtr batch_norm_backward_with(const BatchNormBackward& op, const ActivationBackward& activation) {
  return backward_kernel(op, "", [activation]<class T>(T) {
    return [activation](const BatchNormBackward& o, const Buffers& buffers, const Launch& launch) {
      const Normal normal = {input(buffers, 3), nullptr, input(buffers, 4), input(buffers, 5), o.epsilon};
      const Incoming<T> incoming = {
          .dy = input_of<T>(buffers, 1), .saved = input_of<T>(buffers, 0), .activation = activation.activation, .slope = activation.slope};
      const auto run = activation.activation == Activation::relu ? launch_gradients<Behind::relu_by_y, 1, T>
                                                                 : launch_gradients<Behind::activation, 1, T>;
      run(grid_of<T>(o.rows, o.c), {{normal}, {input_of<T>(buffers, 2)}}, incoming, {{outgoing<T>(o, buffers.out)}}, launch);
    };
  });
}

KernelPtr batch_norm_backward_with_relu(const BatchNormBackward& op) {
  return backward_kernel(op, ", relu by its input", []<class T>(T) {
    return [](const BatchNormBackward& o, const Buffers& buffers, const Launch& launch) {
      const Normal normal = {input(buffers, 2), input(buffers, 3), input(buffers, 4), input(buffers, 5), o.epsilon};
      launch_gradients<Behind::relu_by_x, 1, T>(grid_of<T>(o.rows, o.c), {{normal}, {input_of<T>(buffers, 0)}},
                                                {.dy = input_of<T>(buffers, 1)}, {{outgoing<T>(o, buffers.out)}}, launch);
    };
  });
}

namespace {

template <class T>
class TwoNormsBackward final : public Kernel {
 public:
  TwoNormsBackward(const BatchNormBackward& first, const BatchNormBackward& second)
      : Kernel("cuda"), ops_{first, second}, grid_(grid_of<T>(first.rows, first.c)) {}

  std::string algorithm() const override { return std::to_string(grid_.deal.parts) + " parts of the rows, for both"; }
  size_t workspace_bytes() const override { return bytes_of_gradients(grid_, 2); }
  void bind(Buffers buffers, void* workspace) override {
    workspace_ = workspace;
    incoming_ = {.dy = input_of<T>(buffers, 0)};
    for (size_t i = 0; i < 2; ++i) {
      const size_t in = 1 + 4 * i;
      sources_.x[i] = input_of<T>(buffers, in);
      sources_.normal[i] = {input(buffers, in + 1), nullptr, input(buffers, in + 2), input(buffers, in + 3), ops_[i].epsilon};
      destinations_.of[i] = outgoing<T>(ops_[i], std::span(buffers.out).subspan(3 * i, 3));
    }
  }
  void run(Stream& stream) override {
    launch_gradients<Behind::nothing, 2, T>(grid_, sources_, incoming_, destinations_, {handle_of(stream), workspace_});
  }

 private:
  std::array<BatchNormBackward, 2> ops_;
  NormGrid grid_;
  Sources<2, T> sources_{};
  Incoming<T> incoming_;
  Destinations<2, T> destinations_{};
  void* workspace_ = nullptr;
};

}  // namespace

KernelPtr two_batch_norms_backward(const BatchNormBackward& first, const BatchNormBackward& second) {
  require_countable(first, 6 * first.c);  // three sums for each part: more parts than one only where channels are few
  return with_values(require_values(first), [&]<class T>(T) -> KernelPtr { return std::make_unique<TwoNormsBackward<T>>(first, second); });
}

}  // namespace fovea::cuda
