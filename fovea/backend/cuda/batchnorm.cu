// Batch normalisation per channel: moments of parts of the rows, which the shape alone decides, merged per channel, and a second pass over
// the rows. The sum with another branch and the activation behind it can be done on the way.
#include "fovea/backend/cuda/activate.cuh"
#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cuda/claims.h"
#include "fovea/backend/cuda/convolution_moments.h"
#include "fovea/backend/cuda/norm_rows.cuh"

#include <array>
#include <limits>
#include <span>

namespace fovea::cuda {
namespace {

// Mean and sum of squared differences from it, by channel. Merged as in Chan, Golub, LeVeque: "Updating formulae and a pairwise algorithm
// for computing sample variances", 1979, all at once: first the mean of means, then the squares about it.
template <int width>
__device__ void merge_lines(const NormGrid& grid, float count, float (&mean)[width], float (&squares)[width]) {
  float total[width];
  const float all = static_cast<float>(grid.deal.rows_of(static_cast<int>(blockIdx.y)));
#pragma unroll
  for (int j = 0; j < width; ++j) total[j] = count * mean[j];
  sum_lines<width>(grid.lanes, total);
#pragma unroll
  for (int j = 0; j < width; ++j) {
    total[j] /= all;
    const float step = mean[j] - total[j];
    squares[j] = fmaf(count * step, step, squares[j]);
    mean[j] = total[j];
  }
  sum_lines<width>(grid.lanes, squares);
}

template <int width, class T>
__global__ void __launch_bounds__(block_threads, 2) moments_of_parts(NormGrid grid, const T* __restrict__ x, float* __restrict__ parts) {
  constexpr int batch = 8;
  const OwnRows<Walk::down> own(grid);
  const int64_t count = own.count();
  // Sums of differences from the first value: their mean is small, so that little cancels.
  float origin[width] = {}, sum[width] = {}, squares[width] = {}, value[width];
  if (count > 0) {
    RowPiece<width, T> piece;
    piece.load(x + own.place(own.row));
    piece.widen(origin);
  }
  own.template for_batches<batch>([&](int64_t first, int64_t apart, int valid) {
    RowPiece<width, T> pieces[batch];
#pragma unroll
    for (int i = 0; i < batch; ++i)
      if (i < valid) pieces[i].load(x + first + i * apart);
#pragma unroll
    for (int i = 0; i < batch; ++i) {
      if (i >= valid) continue;
      pieces[i].widen(value);
#pragma unroll
      for (int j = 0; j < width; ++j) {
        const float difference = value[j] - origin[j];
        sum[j] += difference;
        squares[j] = fmaf(difference, difference, squares[j]);
      }
    }
  });
  const float rows = static_cast<float>(count), share = count > 0 ? 1 / rows : 0.0f;
#pragma unroll
  for (int j = 0; j < width; ++j) {
    const float step = sum[j] * share;
    squares[j] = fmaxf(squares[j] - sum[j] * step, 0.0f);
    origin[j] += step;
  }
  merge_lines<width>(grid, rows, origin, squares);
  if (threadIdx.y > 0 || own.c >= grid.c) return;
  float* to = parts + int64_t{blockIdx.y} * 2 * grid.c + own.c;
#pragma unroll
  for (int j = 0; j < width; ++j) {
    to[j] = origin[j];
    to[grid.c + j] = squares[j];
  }
}

// In one pass over the parts, about the mean of the first one, which is as near to the others as they are to each other.
template <int width>
__global__ void __launch_bounds__(merging_threads)
    merge_moments(Deal deal, int c, const float* __restrict__ parts, float* __restrict__ mean, float* __restrict__ variance) {
  const MergingThread<width> own;
  float origin[width], sum[width] = {}, squares[width] = {};
  if (own.channel < c) {
    copy<width>(parts + own.channel, origin);
#pragma unroll 4
    for (int part = own.line; part < deal.parts; part += own.lines) {
      const float* from = parts + int64_t{part} * 2 * c + own.channel;
      float of_mean[width], of_squares[width];
      copy<width>(from, of_mean);
      copy<width>(from + c, of_squares);
      const float rows = static_cast<float>(deal.rows_of(part));
#pragma unroll
      for (int j = 0; j < width; ++j) {
        const float step = of_mean[j] - origin[j], weighted = rows * step;
        sum[j] += weighted;
        squares[j] += fmaf(weighted, step, of_squares[j]);
      }
    }
  }
  const float rows_inverse = 1 / static_cast<float>(deal.rows);
  const float step = sum_of_lines(sum) * rows_inverse, square = sum_of_lines(squares) * rows_inverse;
  const int channel = static_cast<int>(blockIdx.x) * merging_channels + static_cast<int>(threadIdx.x);
  if (threadIdx.x >= merging_channels || channel >= c) return;
  mean[channel] = parts[channel] + step;
  variance[channel] = fmaxf(fmaf(-step, step, square), 0.0f);
}

// What is done to a normalised value at last: nothing or relu, which are one comparison, or another activation.
struct Floor {
  float least;
  __device__ float operator()(float value) const { return value <= least ? least : value; }  // NaN stays NaN
};
constexpr Floor no_floor = {-std::numeric_limits<float>::infinity()};
struct Activated {
  Activation activation;
  float slope;
  __device__ float operator()(float value) const { return activate(activation, value, slope); }
};

template <int width, int batch, class T, class Finish>
__global__ void __launch_bounds__(block_threads, 3)
    normalise(NormGrid grid, Normal normal, Finish finish, const T* __restrict__ x, const T* __restrict__ added, T* __restrict__ y) {
  const OwnRows<Walk::up> own(grid);
  if (own.count() == 0) return;
  Channels<width> channels;
  channels.read(normal, own.c);
  own.template for_batches<batch>([&](int64_t first, int64_t apart, int valid) {
    RowPiece<width, T> pieces[batch], others[batch];
#pragma unroll
    for (int i = 0; i < batch; ++i) {
      if (i >= valid) continue;
      pieces[i].load(x + first + i * apart);
      if (added != nullptr) others[i].load(added + first + i * apart);
    }
#pragma unroll
    for (int i = 0; i < batch; ++i) {
      if (i >= valid) continue;
      float value[width], other[width] = {};
      pieces[i].widen(value);
      if (added != nullptr) others[i].widen(other);
#pragma unroll
      for (int j = 0; j < width; ++j) {
        value[j] = channels.normalised(j, value[j]);
        if (added != nullptr) value[j] += other[j];
        value[j] = finish(value[j]);
      }
      put<width>(value, y + first + i * apart);
    }
  });
}

// Two norms, the sum of what they give, and what is done to it.
template <int width, class T>
__global__ void __launch_bounds__(block_threads, 2)
    normalise_both(NormGrid grid, Normal normal, Normal other_normal, Floor finish, const T* __restrict__ x, const T* __restrict__ other,
                   T* __restrict__ y) {
  constexpr int batch = 4;
  const OwnRows<Walk::up> own(grid);
  if (own.count() == 0) return;
  Channels<width> channels, other_channels;
  channels.read(normal, own.c);
  other_channels.read(other_normal, own.c);
  own.template for_batches<batch>([&](int64_t first, int64_t apart, int valid) {
    RowPiece<width, T> pieces[batch], others[batch];
#pragma unroll
    for (int i = 0; i < batch; ++i) {
      if (i >= valid) continue;
      pieces[i].load(x + first + i * apart);
      others[i].load(other + first + i * apart);
    }
#pragma unroll
    for (int i = 0; i < batch; ++i) {
      if (i >= valid) continue;
      float value[width], other_value[width];
      pieces[i].widen(value);
      others[i].widen(other_value);
#pragma unroll
      for (int j = 0; j < width; ++j) value[j] = finish(channels.normalised(j, value[j]) + other_channels.normalised(j, other_value[j]));
      put<width>(value, y + first + i * apart);
    }
  });
}

// ---- launches ----

Normal normal_of(const BatchNormForward& op, const Buffers& buffers) {
  return {input(buffers, 1), input(buffers, 2), output(buffers, 1), output(buffers, 2), op.epsilon};
}
// `place`: of x, among the inputs.
Normal normal_of(const BatchNormInference& op, const Buffers& buffers, size_t place = 0) {
  return {input(buffers, place + 1), input(buffers, place + 2), input(buffers, place + 3), input(buffers, place + 4), op.epsilon};
}

template <class T>
NormGrid grid_of_sums(int64_t rows, int64_t c) {
  return norm_grid(rows, c, most_abreast<T>, 2 * planned_multiprocessors);
}

template <class T>
void launch_moments_of(const NormGrid& grid, const Buffers& buffers, const Launch& launch) {
  const T* x = input_of<T>(buffers, 0);
  with_width<most_abreast<T>>(grid.width, [&](auto width) {
    moments_of_parts<width><<<grid.blocks(), grid.block(), 0, launch.stream>>>(grid, x, launch.floats());
  });
  check_launch("moments_of_parts");
  launch_merge_moments(grid.deal, grid.c, launch.floats(), buffers, launch);
}

template <class T, class Finish>
void launch_normalise(const NormGrid& grid, const Normal& normal, const Finish& finish, const T* added, const Buffers& buffers,
                      const Launch& launch) {
  constexpr int batch = std::is_same_v<Finish, Floor> ? 4 : 1;
  with_width<most_abreast<T>>(grid.width, [&](auto width) {
    normalise<width, batch>
        <<<grid.blocks(), grid.block(), 0, launch.stream>>>(grid, normal, finish, input_of<T>(buffers, 0), added, output_of<T>(buffers, 0));
  });
  check_launch("normalise");
}

// `place`: of what is added, among the inputs.
template <class T, class Op>
void launch_normalise(const Op& op, const Normal& normal, const NormTail& tail, size_t place, const Buffers& buffers,
                      const Launch& launch) {
  const NormGrid grid = norm_grid(op.rows, op.c, most_abreast<T>, 3 * planned_multiprocessors);
  const T* added = tail.adds ? input_of<T>(buffers, place) : nullptr;
  if (!tail.activation)
    launch_normalise(grid, normal, no_floor, added, buffers, launch);
  else if (*tail.activation == Activation::relu)
    launch_normalise(grid, normal, Floor{0}, added, buffers, launch);
  else
    launch_normalise(grid, normal, Activated{*tail.activation, tail.slope}, added, buffers, launch);
}

struct Branch {
  Normal normal;
  const void* x;
};

template <class T>
void launch_normalise_both(const std::array<Branch, 2>& branches, int64_t rows, int64_t c, Floor finish, T* y, cudaStream_t stream) {
  const NormGrid grid = norm_grid(rows, c, most_abreast<T>, 2 * planned_multiprocessors);
  with_width<most_abreast<T>>(grid.width, [&](auto width) {
    normalise_both<width><<<grid.blocks(), grid.block(), 0, stream>>>(grid, branches[0].normal, branches[1].normal, finish,
                                                                      static_cast<const T*>(branches[0].x),
                                                                      static_cast<const T*>(branches[1].x), y);
  });
  check_launch("normalise_both");
}

}  // namespace

void launch_merge_moments(const Deal& deal, int c, const float* parts, const Buffers& buffers, const Launch& launch) {
  with_merging_width(c, [&](auto width) {
    merge_moments<width><<<blocks_of_each(c, merging_channels), merging_threads, 0, launch.stream>>>(deal, c, parts, output(buffers, 1),
                                                                                                     output(buffers, 2));
  });
  check_launch("merge_moments");
}

void launch_moments(const BatchNormForward& op, const Buffers& buffers, const Launch& launch) {
  with_values(require_values(op), [&]<class T>(T) { launch_moments_of<T>(grid_of_sums<T>(op.rows, op.c), buffers, launch); });
}

size_t bytes_of_moments(const BatchNormForward& op) {
  return with_values(require_values(op), [&]<class T>(T) { return bytes_of_parts(grid_of_sums<T>(op.rows, op.c).deal, op.c); });
}

KernelPtr batch_norm_with(const BatchNormForward& op, const NormTail& tail) {
  require_countable(op, 4 * op.c);  // two sums for each part: more parts than one only where channels are few
  return with_values(require_values(op), [&]<class T>(T) {
    const NormGrid grid = grid_of_sums<T>(op.rows, op.c);
    const auto run = [tail](const BatchNormForward& o, const Buffers& buffers, const Launch& launch) {
      launch_moments_of<T>(grid_of_sums<T>(o.rows, o.c), buffers, launch);
      launch_normalise<T>(o, normal_of(o, buffers), tail, 3, buffers, launch);
    };
    return kernel(std::to_string(grid.deal.parts) + " parts of the rows", op, run, bytes_of_parts(grid.deal, grid.c));
  });
}

KernelPtr batch_norm_with(const BatchNormInference& op, const NormTail& tail) {
  require_countable(op, 4 * op.c);
  return with_values(require_values(op), [&]<class T>(T) {
    const auto run = [tail](const BatchNormInference& o, const Buffers& buffers, const Launch& launch) {
      launch_normalise<T>(o, normal_of(o, buffers), tail, 5, buffers, launch);
    };
    return kernel("one pass", op, run);
  });
}

KernelPtr two_batch_norms_with_sum(const NormedBranches& branches) {
  require_countable(branches.first, 4 * branches.first.c);
  return with_values(require_values(branches.first), [&]<class T>(T) {
    const auto run = [](const NormedBranches& of, const Buffers& buffers, const Launch& launch) {
      launch_normalise_both<T>(
          {Branch{normal_of(of.first, buffers), buffers.in[0].data}, Branch{normal_of(of.second, buffers, 5), buffers.in[5].data}},
          of.first.rows, of.first.c, of.relu == NormedBranches::Relu::yes ? Floor{0} : no_floor, output_of<T>(buffers, 0), launch.stream);
    };
    return kernel("one pass", branches, run);
  });
}

namespace {

template <class T>
class ConvolutionAndNorm final : public Kernel {
 public:
  ConvolutionAndNorm(ConvolutionAndMoments convolution, const NormTail& tail)
      : Kernel("cuda"), convolution_(std::move(convolution)), tail_(tail) {}

  std::string algorithm() const override { return convolution_.algorithm(); }
  size_t workspace_bytes() const override { return convolution_.workspace_bytes(); }
  void bind(Buffers buffers, void* workspace) override {
    convolution_.bind(buffers.in, buffers.out, workspace);
    norm_ = convolution_.of_norm();
    norm_.in.insert(norm_.in.end(), buffers.in.begin() + 2, buffers.in.end());
  }
  void run(Stream& stream) override {
    convolution_.run(stream);
    launch_normalise<T>(convolution_.norm(), normal_of(convolution_.norm(), norm_), tail_, 3, norm_, {handle_of(stream)});
  }

 private:
  ConvolutionAndMoments convolution_;
  NormTail tail_;
  Buffers norm_;
};

// The end of two branches: both norms in one pass, so that what one of them gives is neither written nor read.
template <class T>
class ConvolutionsAndNorms final : public Kernel {
 public:
  ConvolutionsAndNorms(ConvolutionAndMoments first, ConvolutionAndMoments second, Floor finish)
      : Kernel("cuda"), parts_{std::move(first), std::move(second)}, finish_(finish) {}

  std::string algorithm() const override { return parts_[0].algorithm() + "; " + parts_[1].algorithm(); }
  size_t workspace_bytes() const override { return std::max(parts_[0].workspace_bytes(), parts_[1].workspace_bytes()); }
  void bind(Buffers buffers, void* workspace) override {
    const std::span<const Tensor> in(buffers.in), out(buffers.out);
    const std::vector<Tensor> second = {out[0], out[4], out[5], out[6]};
    parts_[0].bind(in.first(2), out.first(4), workspace);
    parts_[1].bind(in.subspan(4, 2), second, workspace);
    for (size_t i = 0; i < 2; ++i) {
      norms_[i] = parts_[i].of_norm();
      norms_[i].in.insert(norms_[i].in.end(), {in[4 * i + 2], in[4 * i + 3]});
    }
  }
  void run(Stream& stream) override {
    for (ConvolutionAndMoments& part : parts_) part.run(stream);
    const BatchNormForward& op = parts_[0].norm();
    launch_normalise_both<T>(
        {Branch{normal_of(op, norms_[0]), norms_[0].in[0].data}, Branch{normal_of(parts_[1].norm(), norms_[1]), norms_[1].in[0].data}},
        op.rows, op.c, finish_, output_of<T>(norms_[0], 0), handle_of(stream));
  }

 private:
  std::array<ConvolutionAndMoments, 2> parts_;
  Floor finish_;
  std::array<Buffers, 2> norms_;
};

}  // namespace

KernelPtr conv2d_with_batch_norm(const Conv2dForward& conv2d, const BatchNormForward& norm, const NormTail& tail) {
  std::optional<ConvolutionAndMoments> convolution = convolution_and_moments(conv2d, norm);
  if (!convolution) return nullptr;
  return with_values(require_values(norm),
                     [&]<class T>(T) -> KernelPtr { return std::make_unique<ConvolutionAndNorm<T>>(std::move(*convolution), tail); });
}

KernelPtr two_conv2d_with_batch_norm(const NormedConv2d& first, const NormedConv2d& second, std::optional<Activation> activation) {
  if (activation && *activation != Activation::relu) return nullptr;
  std::optional<ConvolutionAndMoments> one = convolution_and_moments(first.conv2d, first.norm),
                                       other = convolution_and_moments(second.conv2d, second.norm);
  if (!one || !other) return nullptr;
  const Floor finish = activation ? Floor{0} : no_floor;
  return with_values(require_values(first.norm), [&]<class T>(T) -> KernelPtr {
    return std::make_unique<ConvolutionsAndNorms<T>>(std::move(*one), std::move(*other), finish);
  });
}

template <>
KernelPtr Kernels::make(const BatchNormForward& op, const Limits&) {
  return batch_norm_with(op, {});
}
template <>
KernelPtr Kernels::make(const BatchNormInference& op, const Limits&) {
  return batch_norm_with(op, {});
}

}  // namespace fovea::cuda
