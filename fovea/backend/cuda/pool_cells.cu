// The gradient of max pooling, a thread for some channels of a cell of stride x stride pixels: all windows over a cell are read once.
// Alone, or with the gradient of a relu or leaky_relu before the pooling and of a bias before that: y of the pooling tells where they bend,
// since it is their output at the place of the maximum, and elsewhere the gradient is 0. cats_dogs, 128 images in bf16 on an H100: 9.2 ms
// for the gradients of bias, activation and pooling one by one, 1.9 ms in such passes.
#include "fovea/backend/cuda/pool_cells.h"

#include "fovea/backend/cuda/activate.cuh"
#include "fovea/backend/cuda/claims.h"
#include "fovea/backend/cuda/divider.h"
#include "fovea/backend/cuda/row_sums.cuh"

namespace fovea::cuda {
namespace {

struct CellSizes {
  int h, w, p, q, pad_top, pad_left;
  int lines, columns;  // cells of an image
  int64_t c;
  Divider by_lines, by_columns;

  explicit CellSizes(const PoolShape& shape)
      : h(static_cast<int>(shape.h)),
        w(static_cast<int>(shape.w)),
        p(static_cast<int>(shape.p())),
        q(static_cast<int>(shape.q())),
        pad_top(static_cast<int>(shape.window.pad_top)),
        pad_left(static_cast<int>(shape.window.pad_left)),
        lines(static_cast<int>(ceil_of(shape.h + shape.window.pad_top, shape.window.stride_h))),
        columns(static_cast<int>(ceil_of(shape.w + shape.window.pad_left, shape.window.stride_w))),
        c(shape.c),
        by_lines(lines),
        by_columns(columns) {}
  int64_t count(int64_t images) const { return images * lines * columns; }
};

enum class Bend : uint8_t { none, by_y };

// A row is a cell.
template <class T, int channels, int stride, int extent, Bend bend>
struct Cells {
  static constexpr int width = channels;
  static constexpr int reach = (extent + stride - 1) / stride, windows = reach * reach;  // that may cover a cell, upwards and to the left
  static constexpr int abreast = reach == 1 ? 2 : 1;
  struct Loaded {
    int image, line, column;
    Piece<width, T> dy[windows];
    Piece<width, T> y[bend == Bend::none ? 1 : windows];
    Piece<width, uint8_t> argmax[windows];
  };
  CellSizes sizes;
  const T* dy;
  const uint8_t* argmax;
  const T* y;
  T* dx;
  Into into;
  float slope;

  __device__ Loaded load(int64_t row, int channel) const {
    Loaded loaded;
    const Divided line = sizes.by_columns.divide(static_cast<int>(row));
    const Divided image = sizes.by_lines.divide(line.quotient);
    loaded.image = image.quotient, loaded.line = image.remainder, loaded.column = line.remainder;
#pragma unroll
    for (int i = 0; i < windows; ++i) {
      const int p = loaded.line - i / reach, q = loaded.column - i % reach;
      const bool there = p >= 0 && p < sizes.p && q >= 0 && q < sizes.q;
      const int64_t at = there ? ((int64_t{loaded.image} * sizes.p + p) * sizes.q + q) * sizes.c + channel : channel;
      loaded.dy[i] = piece_of<width>(dy + at);
      if constexpr (bend == Bend::by_y) loaded.y[i] = piece_of<width>(y + at);
      loaded.argmax[i] = piece_of<width>(argmax + at);
      if (!there) {
#pragma unroll
        for (int j = 0; j < width; ++j) loaded.argmax[i].at[j] = 0xFF;  // no place
      }
    }
    return loaded;
  }

  __device__ void finish(int64_t, int channel, const Loaded& loaded, float (&sums)[width]) const {
    float of_windows[windows][width];
#pragma unroll
    for (int i = 0; i < windows; ++i) {
      widen(loaded.dy[i], of_windows[i]);
      if constexpr (bend == Bend::by_y) {
#pragma unroll
        for (int j = 0; j < width; ++j) of_windows[i][j] = bent_gradient(widened(loaded.y[i].at[j]), of_windows[i][j], slope);
      }
    }
#pragma unroll
    for (int j = 0; j < width; ++j) sums[j] = 0;
#pragma unroll
    for (int pixel = 0; pixel < stride * stride; ++pixel) {
      const int h = loaded.line * stride - sizes.pad_top + pixel / stride, w = loaded.column * stride - sizes.pad_left + pixel % stride;
      if (h < 0 || h >= sizes.h || w < 0 || w >= sizes.w) continue;
      T* to = dx + ((int64_t{loaded.image} * sizes.h + h) * sizes.w + w) * sizes.c + channel;
      float values[width] = {};
#pragma unroll
      for (int i = 0; i < windows; ++i) {
        const int r = pixel / stride + i / reach * stride, s = pixel % stride + i % reach * stride;
        if (r >= extent || s >= extent) continue;
#pragma unroll
        for (int j = 0; j < width; ++j)
          if (loaded.argmax[i].at[j] == r * extent + s) values[j] += of_windows[i][j];
      }
#pragma unroll
      for (int j = 0; j < width; ++j) sums[j] += values[j];
      if (into == Into::add) {
        float before[width];
        copy<width>(to, before);
#pragma unroll
        for (int j = 0; j < width; ++j) values[j] += before[j];
      }
      put<width>(values, to);
    }
  }
};

// make.operator()<T, width, stride, extent>()
template <class T, int width, class Make>
KernelPtr for_windows(const Window& window, Make make) {
  if (window.stride_h == 3) return make.template operator()<T, width, 3, 3>();
  return window.r == 3 ? make.template operator()<T, width, 2, 3>() : make.template operator()<T, width, 2, 2>();
}
template <class Make>
KernelPtr for_cells(const MaxPoolBackward& op, Make make) {
  return with_values(require_values(op), [&]<class T>(T) {
    constexpr int most = most_abreast<T>;
    const Window& window = op.shape.window;
    return op.shape.c % most == 0 ? for_windows<T, most>(window, make) : for_windows<T, 1>(window, make);
  });
}

std::string text_of(const PoolShape& shape, int width) {
  const Window& window = shape.window;
  return std::to_string(window.stride_h) + "x" + std::to_string(window.stride_w) + " pixels of " + std::to_string(width) +
         (width == 1 ? " channel" : " channels") + " a thread";
}

}  // namespace

bool has_cells(const PoolShape& shape) {
  const Window& window = shape.window;
  const bool square = window.r == window.s && window.stride_h == window.stride_w;
  const bool known = (window.r == 2 && window.stride_h == 2) || (window.r == 3 && (window.stride_h == 2 || window.stride_h == 3));
  return square && known && window.dilation_h == 1 && window.dilation_w == 1 &&
         std::max(shape.h + window.pad_top, shape.w + window.pad_left) <= largest_extent &&
         std::max(shape.h * shape.w, CellSizes(shape).count(shape.n)) <= largest_count;
}

KernelPtr max_pool_backward_in_cells(const MaxPoolBackward& op) {
  return for_cells(op, [&]<class T, int width, int stride, int extent>() {
    const CellSizes sizes(op.shape);
    using CellsAlone = Cells<T, width, stride, extent, Bend::none>;
    const RowGrid grid = grid_for<CellsAlone>(sizes.count(op.shape.n), op.shape.c);
    const auto run = [sizes, grid](const MaxPoolBackward& o, const Buffers& buffers, const Launch& launch) {
      const CellsAlone cells = {sizes, input_of<T>(buffers, 0), input_of<uint8_t>(buffers, 1), nullptr, output_of<T>(buffers, 0), o.into,
                                0};
      stream_rows<<<grid.blocks(), grid.block(), 0, launch.stream>>>(cells, grid);
      check_launch("max_pool_backward");
    };
    return kernel(text_of(op.shape, width), op, run);
  });
}

KernelPtr pool_activation_and_bias_backward(const MaxPoolBackward& op, float slope, Into into_bias) {
  return for_cells(op, [&]<class T, int width, int stride, int extent>() {
    const CellSizes sizes(op.shape);
    using BentCells = Cells<T, width, stride, extent, Bend::by_y>;
    const RowGrid grid = grid_for<BentCells>(sizes.count(op.shape.n), op.shape.c);
    const auto run = [sizes, grid, slope, into_bias](const MaxPoolBackward&, const Buffers& buffers, const Launch& launch) {
      const BentCells cells = {
          sizes, input_of<T>(buffers, 0), input_of<uint8_t>(buffers, 1), input_of<T>(buffers, 2), output_of<T>(buffers, 0), Into::overwrite,
          slope};
      launch_row_sums(cells, grid, into_bias, output(buffers, 1), launch);
    };
    return kernel(text_of(op.shape, width) + ", sums in " + std::to_string(grid.parts) + " parts", op, run, row_sums_bytes(grid));
  });
}

}  // namespace fovea::cuda
