// Convolutions in which every channel has a filter of its own: no products of matrices, and bound by memory. Threads lie along the
// channels, so that neighbours read neighbours; the gradient of the filter is summed in parts of the pixels that the shape alone decides.
#include "fovea/backend/cuda/depthwise.h"

#include "fovea/backend/cuda/conv2d.cuh"
#include "fovea/backend/cuda/rows.cuh"

namespace fovea::cuda {
namespace {

constexpr int taps_at_once = 9;

// The filters of a block's channels, some taps of them, and the places of these taps.
template <int width>
struct Taps {
  float filters[taps_at_once][32 * width];
  int4 columns[taps_at_once];

  template <class Operand>
  __device__ void find(const RowGrid& grid, const Operand& operand, int first) {
    const int thread = static_cast<int>(threadIdx.y) * grid.lanes + static_cast<int>(threadIdx.x);
    if (thread < taps_at_once) columns[thread] = operand.column(first + thread);
  }
  template <class T>
  __device__ void read(const RowGrid& grid, const T* w, int taps, int first) {
    const int thread = static_cast<int>(threadIdx.y) * grid.lanes + static_cast<int>(threadIdx.x), channels = grid.lanes * width;
    const int first_c = channel_of(grid, blockIdx.x % grid.columns()) - static_cast<int>(threadIdx.x) * width;
    for (int i = thread; i < channels * taps_at_once; i += block_threads) {
      const int c = i / taps_at_once, tap = i % taps_at_once;
      filters[tap][c] = first_c + c < grid.c && first + tap < taps ? widened(w[(first_c + c) * taps + first + tap]) : 0;
    }
  }
};

constexpr int pixels_per_thread = 4;

// out(pixel, c) = sum over taps of from(pixel, tap, c) w(c, tap)
template <int width, class Operand>
__global__ void __launch_bounds__(block_threads)
    filter_channels(RowGrid grid, Operand from, const typename Operand::Value* w, Product product, Epilogue epilogue) {
  __shared__ __align__(16) Taps<width> some;
  const int c = channel_of(grid, blockIdx.x % grid.columns()), lane = static_cast<int>(threadIdx.x) * width;
  const int first = (static_cast<int>(blockIdx.x / grid.columns()) * grid.lines() + static_cast<int>(threadIdx.y)) * pixels_per_thread;
  int4 pixels[pixels_per_thread];
  __align__(16) float sums[pixels_per_thread][width] = {};
#pragma unroll
  for (int i = 0; i < pixels_per_thread; ++i) pixels[i] = from.row(first + i);
  for (int first_tap = 0; first_tap < product.k; first_tap += taps_at_once) {
    __syncthreads();
    some.find(grid, from, first_tap);
    some.read(grid, w, product.k, first_tap);
    __syncthreads();
    if (c >= grid.c) continue;
    const int taps = min(taps_at_once, product.k - first_tap);
    for (int tap = 0; tap < taps; ++tap) {
      __align__(16) float filter[width];
      copy<width>(&some.filters[tap][lane], filter);
#pragma unroll
      for (int i = 0; i < pixels_per_thread; ++i) {
        const auto* place = from.at(pixels[i], some.columns[tap]);
        if (place == nullptr) continue;
        __align__(16) float value[width];
        copy<width>(place + c, value);
#pragma unroll
        for (int j = 0; j < width; ++j) sums[i][j] = fmaf(value[j], filter[j], sums[i][j]);
      }
    }
  }
  if (c >= grid.c) return;
#pragma unroll
  for (int i = 0; i < pixels_per_thread; ++i)
    if (first + i < product.m) finish<width>(epilogue, product, {0, first + i, c}, sums[i]);
}

// parts(part, tap, c) = sum over the part's pixels of x(pixel, tap, c) dy(pixel, c)
template <int width, class T>
__global__ void __launch_bounds__(block_threads)
    gradients_of_taps(RowGrid grid, PatchesByPixel<T> x, const T* __restrict__ dy, int tap_groups, float* parts) {
  __shared__ int4 columns[taps_at_once];
  __shared__ float lines[width][block_threads];
  const int c = channel_of(grid, blockIdx.x), part = static_cast<int>(blockIdx.y) / tap_groups;
  const int first_tap = static_cast<int>(blockIdx.y) % tap_groups * taps_at_once;
  const int thread = static_cast<int>(threadIdx.y) * grid.lanes + static_cast<int>(threadIdx.x);
  if (thread < taps_at_once) columns[thread] = x.column(first_tap + thread);
  __syncthreads();
  float sums[taps_at_once][width] = {};
  const Span rows = rows_of(grid, part);
  if (c < grid.c)
    for (int64_t row = rows.first + threadIdx.y; row < rows.end; row += grid.lines()) {
      const int4 pixel = x.row(static_cast<int>(row));
      __align__(16) float gradient[width];
      copy<width>(&dy[row * grid.c + c], gradient);
#pragma unroll
      for (int tap = 0; tap < taps_at_once; ++tap) {
        const T* place = x.at(pixel, columns[tap]);
        if (place == nullptr) continue;
        __align__(16) float value[width];
        copy<width>(place + c, value);
#pragma unroll
        for (int j = 0; j < width; ++j) sums[tap][j] = fmaf(value[j], gradient[j], sums[tap][j]);
      }
    }
#pragma unroll
  for (int tap = 0; tap < taps_at_once; ++tap) {
    if (first_tap + tap >= x.taps) return;  // the whole block
    __syncthreads();
#pragma unroll
    for (int j = 0; j < width; ++j) lines[j][thread] = sums[tap][j];
    for (int half = grid.lines() / 2; half > 0; half /= 2) {
      __syncthreads();
      if (static_cast<int>(threadIdx.y) >= half) continue;
#pragma unroll
      for (int j = 0; j < width; ++j) lines[j][thread] += lines[j][thread + half * grid.lanes];
    }
    if (threadIdx.y > 0 || c >= grid.c) continue;
#pragma unroll
    for (int j = 0; j < width; ++j) parts[(int64_t{part} * x.taps + first_tap + tap) * grid.c + c + j] = lines[j][thread];
  }
}

int taps_of(const Conv2dShape& shape) { return static_cast<int>(shape.window.r * shape.window.s); }

template <class Operand>
void filter_channels(const Operand& from, const typename Operand::Value* w, int channels, const Epilogue& epilogue, const Launch& launch) {
  const RowGrid grid = row_grid(from.pixels, channels);
  const Product product = {.m = from.pixels, .n = channels, .k = from.taps};
  const unsigned blocks = blocks_of_each(from.pixels, grid.lines() * pixels_per_thread) * grid.columns();
  with_width(grid.width,
             [&](auto width) { filter_channels<width><<<blocks, grid.block(), 0, launch.stream>>>(grid, from, w, product, epilogue); });
  check_launch("filter_channels");
}

template <class T>
void forward(const Conv2dShape& shape, const Epilogue& like, const Buffers& buffers, const Launch& launch) {
  for_image_ranges(shape.n, elements_per_image(shape), [&](int64_t first, int images) {
    const auto x = patches<PatchesByPixel<T>>(shape, images, input_of<T>(buffers, 0) + first * shape.h * shape.w * shape.c);
    Epilogue epilogue = like;
    epilogue.out = at(buffers.out[0], first * shape.p() * shape.q() * shape.k);
    epilogue.type = buffers.out[0].dtype;
    epilogue.stride_m = static_cast<int>(shape.k);
    filter_channels(x, input_of<T>(buffers, 1), static_cast<int>(shape.k), epilogue, launch);
  });
}

template <class T>
void backward_data(const Conv2dBackwardData& op, const Buffers& buffers, const Launch& launch) {
  const Conv2dShape& shape = op.shape;
  const int channels = static_cast<int>(shape.c);
  for_image_ranges(shape.n, elements_per_image(shape), [&](int64_t first, int images) {
    const T* dy = input_of<T>(buffers, 0) + first * shape.p() * shape.q() * shape.k;
    const Epilogue epilogue = {.out = at(buffers.out[0], first * shape.h * shape.w * shape.c),
                               .type = buffers.out[0].dtype,
                               .stride_m = channels,
                               .into = op.into};
    if (shape.window.stride_h == 1 && shape.window.stride_w == 1)
      filter_channels(backward_patches(shape, images, dy), input_of<T>(buffers, 1), channels, epilogue, launch);
    else
      filter_channels(spread_outputs(shape, images, dy), input_of<T>(buffers, 1), channels, epilogue, launch);
  });
}

RowGrid filter_grid(const Conv2dShape& shape, int images) { return row_grid(images * shape.p() * shape.q(), shape.c); }

// The sum of the parts, as of a product of (taps, c).
Product filter_product(const Conv2dShape& shape, const RowGrid& grid) {
  return {.m = taps_of(shape),
          .n = grid.c,
          .k = grid.parts * tile_k,
          .width = grid.width == 4 ? Width::four : Width::one,
          .parts = grid.parts,
          .tiles_per_part = 1};
}

template <class T>
void backward_filter(const Conv2dBackwardFilter& op, const Buffers& buffers, const Launch& launch) {
  const Conv2dShape& shape = op.shape;
  const int taps = taps_of(shape), tap_groups = (taps + taps_at_once - 1) / taps_at_once;
  for_image_ranges(shape.n, elements_per_image(shape), [&](int64_t first, int images) {
    const RowGrid grid = filter_grid(shape, images);
    const auto x = patches<PatchesByPixel<T>>(shape, images, input_of<T>(buffers, 0) + first * shape.h * shape.w * shape.c);
    const T* dy = input_of<T>(buffers, 1) + first * shape.p() * shape.q() * shape.k;
    const dim3 blocks(grid.columns(), static_cast<unsigned>(grid.parts * tap_groups));
    with_width(grid.width, [&](auto width) {
      gradients_of_taps<width><<<blocks, grid.block(), 0, launch.stream>>>(grid, x, dy, tap_groups, launch.floats());
    });
    check_launch("gradients_of_taps");
    const Epilogue epilogue = {.out = output(buffers, 0), .stride_m = 1, .stride_n = taps, .into = first == 0 ? op.into : Into::add};
    add_parts(filter_product(shape, grid), epilogue, launch);
  });
}

}  // namespace

KernelPtr depthwise_forward(const Conv2dForward& op, Finish finish, WithBias bias) {
  return with_values(require_values(op), [&]<class T>(T) {
    return kernel("channel by channel", op, [finish, bias](const Conv2dForward& o, const Buffers& buffers, const Launch& launch) {
      forward<T>(o.shape, {.finish = finish, .bias = bias == WithBias::yes ? input(buffers, 2) : nullptr}, buffers, launch);
    });
  });
}

KernelPtr depthwise_backward_data(const Conv2dBackwardData& op) {
  return with_values(require_values(op), [&]<class T>(T) { return kernel("channel by channel", op, backward_data<T>); });
}

KernelPtr depthwise_backward_filter(const Conv2dBackwardFilter& op) {
  size_t most_parts = 0;
  for_image_ranges(op.shape.n, elements_per_image(op.shape), [&](int64_t, int images) {
    most_parts = std::max(most_parts, static_cast<size_t>(filter_grid(op.shape, images).parts));
  });
  const size_t bytes = most_parts * static_cast<size_t>(op.shape.filter().elements()) * sizeof(float);
  const std::string text = "channel by channel, sum in " + std::to_string(most_parts) + " parts";
  return with_values(require_values(op), [&]<class T>(T) { return kernel(text, op, backward_filter<T>, bytes); });
}

}  // namespace fovea::cuda
