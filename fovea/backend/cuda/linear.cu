// Matrix products of the fully connected layer, and the bias of every layer.
#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cuda/claims.h"
#include "fovea/backend/cuda/gemm.cuh"

namespace fovea::cuda {
namespace {

int64_t elements_per_row(const LinearShape& shape) { return std::max(shape.c, shape.k); }

template <class Op>
void require_countable_linear(const Op& op) {
  require_float(op, op.types);
  require_countable(op, op.shape.c * op.shape.k);
}

// The rows of x, w and y are read four elements at a time where they can be.
ProductSizes sizes_of(const LinearShape& shape, int64_t m, int64_t n, int64_t k) {
  return {.m = static_cast<int>(m),
          .n = static_cast<int>(n),
          .k = static_cast<int>(k),
          .width = shape.c % 4 == 0 && shape.k % 4 == 0 ? Width::four : Width::one};
}

Product forward_product(const LinearShape& shape, int rows) { return plan_product(sizes_of(shape, rows, shape.k, shape.c)); }
Product data_product(const LinearShape& shape, int rows) { return plan_product(sizes_of(shape, rows, shape.c, shape.k)); }
Product filter_product(const LinearShape& shape, int rows) { return plan_product(sizes_of(shape, shape.k, shape.c, rows)); }

template <class Op, class Function>
KernelPtr product_kernel(const Op& op, Product (*product)(const LinearShape&, int), Function function) {
  require_countable_linear(op);
  size_t bytes = 0;
  std::string text;
  for_image_ranges(op.shape.n, elements_per_row(op.shape), [&](int64_t first, int rows) {
    const Product planned = product(op.shape, rows);
    bytes = std::max(bytes, planned.workspace_bytes());
    if (first == 0) text = planned.text();
  });
  return kernel("gemm, " + text, op, function, bytes);
}

// Element (i, k) of a dense (rows, columns) matrix, or of its transpose.
template <Along along>
Matrix<along> dense(const float* data, int64_t rows, int64_t columns) {
  return {data, static_cast<int>(rows), static_cast<int>(columns), static_cast<int>(columns), 1, 0};
}
Matrix<Along::row> transposed(const float* data, int64_t rows, int64_t columns) {
  return {data, static_cast<int>(columns), static_cast<int>(rows), 1, static_cast<int>(columns), 0};
}

void linear_forward(const LinearShape& shape, const Epilogue& like, const Buffers& buffers, const Launch& launch) {
  for_image_ranges(shape.n, elements_per_row(shape), [&](int64_t first, int rows) {
    Epilogue epilogue = like;
    epilogue.out = output(buffers, 0) + first * shape.k;
    epilogue.stride_m = static_cast<int>(shape.k);
    multiply(dense<Along::k>(input(buffers, 0) + first * shape.c, rows, shape.c), dense<Along::k>(input(buffers, 1), shape.k, shape.c),
             forward_product(shape, rows), epilogue, launch);
  });
}

void linear_backward_data(const LinearBackwardData& op, const Buffers& buffers, const Launch& launch) {
  const LinearShape& shape = op.shape;
  for_image_ranges(shape.n, elements_per_row(shape), [&](int64_t first, int rows) {
    const Epilogue epilogue = {.out = output(buffers, 0) + first * shape.c, .stride_m = static_cast<int>(shape.c), .into = op.into};
    multiply(dense<Along::k>(input(buffers, 0) + first * shape.k, rows, shape.k), transposed(input(buffers, 1), shape.k, shape.c),
             data_product(shape, rows), epilogue, launch);
  });
}

void linear_backward_filter(const LinearBackwardFilter& op, const Buffers& buffers, const Launch& launch) {
  const LinearShape& shape = op.shape;
  for_image_ranges(shape.n, elements_per_row(shape), [&](int64_t first, int rows) {
    const Epilogue epilogue = {.out = output(buffers, 0), .stride_m = static_cast<int>(shape.c), .into = first == 0 ? op.into : Into::add};
    multiply(transposed(input(buffers, 1) + first * shape.k, rows, shape.k), transposed(input(buffers, 0) + first * shape.c, rows, shape.c),
             filter_product(shape, rows), epilogue, launch);
  });
}

__global__ void add_bias(const float* x, const float* b, float* y, int elements, Divider k) {
  for (int64_t i = int64_t{blockIdx.x} * block_threads + threadIdx.x; i < elements; i += int64_t{gridDim.x} * block_threads)
    y[i] = x[i] + b[k.divide(static_cast<int>(i)).remainder];
}

void bias_forward(const BiasForward& op, const Buffers& buffers, const Launch& launch) {
  for_image_ranges(op.rows, op.k, [&](int64_t first, int rows) {
    const int elements = rows * static_cast<int>(op.k);
    add_bias<<<blocks_for(elements), block_threads, 0, launch.stream>>>(
        input(buffers, 0) + first * op.k, input(buffers, 1), output(buffers, 0) + first * op.k, elements, Divider(static_cast<int>(op.k)));
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

__global__ void __launch_bounds__(block_threads)
    sum_columns(const float* dy, ColumnSums sums, Product product, Epilogue epilogue, float* parts) {
  __shared__ float of_thread[block_threads];
  const int part = static_cast<int>(blockIdx.x) / sums.column_blocks;
  const int lane = static_cast<int>(threadIdx.x) / sums.width;
  const int place = static_cast<int>(threadIdx.x) % sums.width;
  const int column = static_cast<int>(blockIdx.x) % sums.column_blocks * sums.width + place;
  const int64_t first = part * sums.rows_per_part, end = min(first + sums.rows_per_part, sums.rows);
  float sum = 0;
  if (lane < sums.abreast && column < sums.k) {
#pragma unroll 8
    for (int64_t row = first + lane; row < end; row += sums.abreast) sum += dy[row * sums.k + column];
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

void bias_backward(const BiasBackward& op, const Buffers& buffers, const Launch& launch) {
  const ColumnSums sums(op);
  const Product product = sums.product();
  const Epilogue epilogue = {.out = output(buffers, 0), .into = op.into};
  sum_columns<<<sums.parts * sums.column_blocks, block_threads, 0, launch.stream>>>(input(buffers, 0), sums, product, epilogue,
                                                                                    launch.floats());
  check_launch("sum_columns");
  if (sums.parts > 1) add_parts(product, epilogue, launch);
}

}  // namespace

template <>
KernelPtr Kernels::make(const LinearForward& op, const Limits&) {
  return product_kernel(op, forward_product, [](const LinearForward& o, const Buffers& buffers, const Launch& launch) {
    linear_forward(o.shape, {}, buffers, launch);
  });
}
template <>
KernelPtr Kernels::make(const LinearBackwardData& op, const Limits&) {
  return product_kernel(op, data_product, linear_backward_data);
}
template <>
KernelPtr Kernels::make(const LinearBackwardFilter& op, const Limits&) {
  return product_kernel(op, filter_product, linear_backward_filter);
}

KernelPtr linear_with_bias(const LinearForward& op, std::optional<Activation> activation) {
  const Finish finish = activation ? finish_of(*activation) : Finish::nothing;
  return product_kernel(op, forward_product, [finish](const LinearForward& o, const Buffers& buffers, const Launch& launch) {
    linear_forward(o.shape, {.finish = finish, .bias = input(buffers, 2)}, buffers, launch);
  });
}

template <>
KernelPtr Kernels::make(const BiasForward& op, const Limits&) {
  require_float(op, op.types);
  require_countable(op, op.k);
  return kernel("element by element", op, bias_forward);
}
template <>
KernelPtr Kernels::make(const BiasBackward& op, const Limits&) {
  require_float(op, op.types);
  require_countable(op, op.k);
  const ColumnSums sums(op);
  return kernel("sums of columns in " + std::to_string(sums.parts) + " parts", op, bias_backward, sums.product().workspace_bytes());
}

}  // namespace fovea::cuda
