// The bias of every layer: added to rows of channels; its gradient are their sums, alone or in the pass through the activation behind it.
#include "fovea/backend/cuda/activate.cuh"
#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cuda/claims.h"
#include "fovea/backend/cuda/divider.h"
#include "fovea/backend/cuda/row_sums.cuh"

namespace fovea::cuda {
namespace {

// `width` neighbouring columns a thread; k is the number of their pieces.
template <int width, class T>
__global__ void __launch_bounds__(block_threads) add_bias(const T* x, const float* b, T* y, int pieces, Divider k) {
  for (int64_t i = int64_t{blockIdx.x} * block_threads + threadIdx.x; i < pieces; i += int64_t{gridDim.x} * block_threads) {
    float values[width], bias[width];
    copy<width>(x + i * width, values);
    copy<width>(b + k.divide(static_cast<int>(i)).remainder * width, bias);
#pragma unroll
    for (int j = 0; j < width; ++j) values[j] += bias[j];
    put<width>(values, y + i * width);
  }
}

template <class T, int width>
void bias_forward(const BiasForward& op, const Buffers& buffers, const Launch& launch) {
  for_image_ranges(op.rows, op.k, [&](int64_t first, int rows) {
    const int columns = static_cast<int>(op.k) / width, pieces = rows * columns;
    add_bias<width><<<blocks_for(pieces), block_threads, 0, launch.stream>>>(
        input_of<T>(buffers, 0) + first * op.k, input(buffers, 1), output_of<T>(buffers, 0) + first * op.k, pieces, Divider(columns));
    check_launch("add_bias");
  });
}

// Rows as they are.
template <class T, int channels>
struct Rows {
  static constexpr int width = channels, abreast = 8;
  using Loaded = Piece<width, T>;
  const T* dy;
  int64_t k;

  __device__ Loaded load(int64_t row, int column) const { return piece_of<width>(dy + row * k + column); }
  __device__ void finish(int64_t, int, const Loaded& loaded, float (&values)[width]) const { widen(loaded, values); }
};

// Rows of the gradient by the input of an activation, made from that by its output.
template <class T, int channels>
struct ActivatedRows {
  static constexpr int width = channels, abreast = 4;
  struct Loaded {
    Piece<width, T> y, dy;
  };
  const T *y, *dy;
  T* dx;
  int64_t k;
  float slope;

  __device__ Loaded load(int64_t row, int column) const {
    return {piece_of<width>(y + row * k + column), piece_of<width>(dy + row * k + column)};
  }
  __device__ void finish(int64_t row, int column, const Loaded& loaded, float (&values)[width]) const {
    float at[width];
    widen(loaded.y, at);
    widen(loaded.dy, values);
#pragma unroll
    for (int j = 0; j < width; ++j) values[j] = bent_gradient(at[j], values[j], slope);
    put<width>(values, dx + row * k + column);
  }
};

std::string text_of(const RowGrid& grid) { return "sums of columns in " + std::to_string(grid.parts) + " parts"; }

// make.operator()<T, width>(): with the type of the values, and as many channels to a thread as divide theirs.
template <class Make>
KernelPtr for_rows_of(const BiasBackward& op, Make make) {
  require_countable(op, op.k);
  return with_values(require_values(op), [&]<class T>(T) -> KernelPtr {
    constexpr int most = most_abreast<T>;
    return op.k % most == 0 ? make.template operator()<T, most>() : make.template operator()<T, 1>();
  });
}

}  // namespace

template <>
KernelPtr Kernels::make(const BiasForward& op, const Limits&) {
  require_countable(op, op.k);
  return with_values(require_values(op), [&]<class T>(T) {
    constexpr int most = most_abreast<T>;
    if (op.k % most == 0) return kernel(std::to_string(most) + " columns a thread", op, bias_forward<T, most>);
    return kernel("element by element", op, bias_forward<T, 1>);
  });
}
template <>
KernelPtr Kernels::make(const BiasBackward& op, const Limits&) {
  return for_rows_of(op, [&]<class T, int width>() {
    const RowGrid grid = grid_for<Rows<T, width>>(op.rows, op.k);
    const auto run = [grid](const BiasBackward& o, const Buffers& buffers, const Launch& launch) {
      launch_row_sums(Rows<T, width>{input_of<T>(buffers, 0), o.k}, grid, o.into, output(buffers, 0), launch);
    };
    return kernel(text_of(grid), op, run, row_sums_bytes(grid));
  });
}

KernelPtr activation_and_bias_backward(const ActivationBackward& activation, const BiasBackward& bias) {
  return for_rows_of(bias, [&]<class T, int width>() {
    const RowGrid grid = grid_for<ActivatedRows<T, width>>(bias.rows, bias.k);
    const auto run = [grid, slope = slope_of(activation)](const BiasBackward& o, const Buffers& buffers, const Launch& launch) {
      const ActivatedRows<T, width> rows = {input_of<T>(buffers, 0), input_of<T>(buffers, 1), output_of<T>(buffers, 0), o.k, slope};
      launch_row_sums(rows, grid, o.into, output(buffers, 1), launch);
    };
    return kernel(text_of(grid), bias, run, row_sums_bytes(grid));
  });
}

}  // namespace fovea::cuda
