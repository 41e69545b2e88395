// Matrix products of the fully connected layer, and the bias of every layer.
#include <array>

#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cuda/claims.h"
#include "fovea/backend/cuda/gemm.cuh"
#include "fovea/backend/cuda/tensor_product.h"

namespace fovea::cuda {
namespace {

int64_t elements_per_row(const LinearShape& shape) { return std::max(shape.c, shape.k); }

// The rows of x, w and y are read four elements at a time where they can be.
ProductSizes sizes_of(const LinearShape& shape, Tiles tiles, const std::array<int64_t, 3>& mnk) {
  return {.m = static_cast<int>(mnk[0]),
          .n = static_cast<int>(mnk[1]),
          .k = static_cast<int>(mnk[2]),
          .width = shape.c % 4 == 0 && shape.k % 4 == 0 ? Width::four : Width::one,
          .tiles = tiles};
}

Product forward_product(const LinearShape& shape, int rows, Tiles tiles) {
  return plan_product(sizes_of(shape, tiles, {rows, shape.k, shape.c}));
}
Product data_product(const LinearShape& shape, int rows, Tiles tiles) {
  return plan_product(sizes_of(shape, tiles, {rows, shape.c, shape.k}));
}
Product filter_product(const LinearShape& shape, int rows, Tiles tiles) {
  return plan_product(sizes_of(shape, tiles, {shape.k, shape.c, rows}));
}
template <class T>
constexpr Tiles tiles_of = sizeof(T) == 2 ? Tiles::few : Tiles::all;

// function(T) gives what enqueues the product for values of this type.
template <class Op, class Function>
KernelPtr product_kernel(const Op& op, Product (*product)(const LinearShape&, int, Tiles), Function function) {
  require_countable(op, op.shape.c * op.shape.k);
  return with_values(require_values(op), [&]<class T>(T type) {
    size_t bytes = 0;
    std::string text;
    for_image_ranges(op.shape.n, elements_per_row(op.shape), [&](int64_t first, int rows) {
      const Product planned = product(op.shape, rows, tiles_of<T>);
      bytes = std::max(bytes, planned.workspace_bytes());
      if (first == 0) text = planned.text();
    });
    return kernel("gemm, " + text, op, function(type), bytes);
  });
}

// Element (i, k) of a dense (rows, columns) matrix, or of its transpose.
template <class T>
Matrix<Along::k, T> dense(const T* data, int64_t rows, int64_t columns) {
  return {data, static_cast<int>(rows), static_cast<int>(columns), static_cast<int>(columns), 1, 0};
}
template <class T>
Matrix<Along::row, T> transposed(const T* data, int64_t rows, int64_t columns) {
  return {data, static_cast<int>(columns), static_cast<int>(rows), 1, static_cast<int>(columns), 0};
}

template <class T>
void linear_forward(const LinearShape& shape, const Epilogue& like, const Buffers& buffers, const Launch& launch) {
  for_image_ranges(shape.n, elements_per_row(shape), [&](int64_t first, int rows) {
    Epilogue epilogue = like;
    epilogue.out = at(buffers.out[0], first * shape.k);
    epilogue.type = buffers.out[0].dtype;
    epilogue.stride_m = static_cast<int>(shape.k);
    multiply(dense(input_of<T>(buffers, 0) + first * shape.c, rows, shape.c), dense(input_of<T>(buffers, 1), shape.k, shape.c),
             forward_product(shape, rows, tiles_of<T>), epilogue, launch);
  });
}

template <class T>
void linear_backward_data(const LinearBackwardData& op, const Buffers& buffers, const Launch& launch) {
  const LinearShape& shape = op.shape;
  for_image_ranges(shape.n, elements_per_row(shape), [&](int64_t first, int rows) {
    const Epilogue epilogue = {
        .out = at(buffers.out[0], first * shape.c), .type = buffers.out[0].dtype, .stride_m = static_cast<int>(shape.c), .into = op.into};
    multiply(dense(input_of<T>(buffers, 0) + first * shape.k, rows, shape.k), transposed(input_of<T>(buffers, 1), shape.k, shape.c),
             data_product(shape, rows, tiles_of<T>), epilogue, launch);
  });
}

template <class T>
void linear_backward_filter(const LinearBackwardFilter& op, const Buffers& buffers, const Launch& launch) {
  const LinearShape& shape = op.shape;
  for_image_ranges(shape.n, elements_per_row(shape), [&](int64_t first, int rows) {
    const Epilogue epilogue = {.out = output(buffers, 0), .stride_m = static_cast<int>(shape.c), .into = first == 0 ? op.into : Into::add};
    multiply(transposed(input_of<T>(buffers, 1) + first * shape.k, rows, shape.k),
             transposed(input_of<T>(buffers, 0) + first * shape.c, rows, shape.c), filter_product(shape, rows, tiles_of<T>), epilogue,
             launch);
  });
}

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

// Each block adds up `rows_per_part` rows of `width` columns; `abreast` rows side by side, so that a block reads memory in order.
struct ColumnSums {
  int64_t rows;
  int k, width, abreast, column_blocks;
  int parts;
  int64_t rows_per_part;

  explicit ColumnSums(const BiasBackward& op)
      : rows(op.rows),
        k(static_cast<int>(op.k)),
        width(std::min(k, block_threads)),
        abreast(block_threads / width),
        column_blocks((k + width - 1) / width),
        parts(static_cast<int>(std::clamp<int64_t>(rows / (32 * abreast), 1, most_parts))),
        rows_per_part((rows + parts - 1) / parts) {
    parts = static_cast<int>((rows + rows_per_part - 1) / rows_per_part);
  }
  Product product() const { return {.m = 1, .n = k, .k = parts * tile_k, .parts = parts, .tiles_per_part = 1}; }

 private:
  static constexpr int64_t most_parts = 264;
};

template <class T>
__global__ void __launch_bounds__(block_threads)
    sum_columns(const T* dy, ColumnSums sums, Product product, Epilogue epilogue, float* parts) {
  __shared__ float of_thread[block_threads];
  const int part = static_cast<int>(blockIdx.x) / sums.column_blocks;
  const int lane = static_cast<int>(threadIdx.x) / sums.width;
  const int place = static_cast<int>(threadIdx.x) % sums.width;
  const int column = static_cast<int>(blockIdx.x) % sums.column_blocks * sums.width + place;
  const int64_t first = part * sums.rows_per_part, end = min(first + sums.rows_per_part, sums.rows);
  float sum = 0;
  if (lane < sums.abreast && column < sums.k) {
#pragma unroll 8
    for (int64_t row = first + lane; row < end; row += sums.abreast) sum += widened(dy[row * sums.k + column]);
  }
  of_thread[threadIdx.x] = sum;
  __syncthreads();
  if (lane > 0 || column >= sums.k) return;
  for (int other = 1; other < sums.abreast; ++other) sum += of_thread[other * sums.width + place];
  if (sums.parts > 1)
    parts[int64_t{part} * sums.k + column] = sum;
  else
    finish<1>(epilogue, product, {0, 0, column}, &sum);
}

template <class T>
void bias_backward(const BiasBackward& op, const Buffers& buffers, const Launch& launch) {
  const ColumnSums sums(op);
  const Product product = sums.product();
  const Epilogue epilogue = {.out = output(buffers, 0), .into = op.into};
  sum_columns<<<sums.parts * sums.column_blocks, block_threads, 0, launch.stream>>>(input_of<T>(buffers, 0), sums, product, epilogue,
                                                                                    launch.floats());
  check_launch("sum_columns");
  if (sums.parts > 1) add_parts(product, epilogue, launch);
}

}  // namespace

template <>
KernelPtr Kernels::make(const LinearForward& op, const Limits&) {
  if (KernelPtr kernel = on_tensor_cores(op)) return kernel;
  return product_kernel(op, forward_product, []<class T>(T) {
    return [](const LinearForward& o, const Buffers& buffers, const Launch& launch) { linear_forward<T>(o.shape, {}, buffers, launch); };
  });
}
template <>
KernelPtr Kernels::make(const LinearBackwardData& op, const Limits&) {
  if (KernelPtr kernel = on_tensor_cores(op)) return kernel;
  return product_kernel(op, data_product, []<class T>(T) { return linear_backward_data<T>; });
}
template <>
KernelPtr Kernels::make(const LinearBackwardFilter& op, const Limits&) {
  if (KernelPtr kernel = on_tensor_cores(op)) return kernel;
  return product_kernel(op, filter_product, []<class T>(T) { return linear_backward_filter<T>; });
}

KernelPtr linear_with_bias(const LinearForward& op, std::optional<Activation> activation) {
  if (KernelPtr kernel = on_tensor_cores_with_bias(op, activation)) return kernel;
  const Finish finish = activation ? finish_of(*activation) : Finish::nothing;
  return product_kernel(op, forward_product, [finish]<class T>(T) {
    return [finish](const LinearForward& o, const Buffers& buffers, const Launch& launch) {
      linear_forward<T>(o.shape, {.finish = finish, .bias = input(buffers, 2)}, buffers, launch);
    };
  });
}

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
  require_countable(op, op.k);
  const ColumnSums sums(op);
  return with_values(require_values(op), [&]<class T>(T) {
    return kernel("sums of columns in " + std::to_string(sums.parts) + " parts", op, bias_backward<T>, sums.product().workspace_bytes());
  });
}

}  // namespace fovea::cuda
