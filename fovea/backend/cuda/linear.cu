// Matrix products of the fully connected layer.
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

}  // namespace fovea::cuda
