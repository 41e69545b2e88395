// How a convolution is made: depthwise ones by themselves, all others as products. The type of the values decides first.
#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cuda/claims.h"
#include "fovea/backend/cuda/conv2d_product.cuh"
#include "fovea/backend/cuda/depthwise.h"
#include "fovea/backend/cuda/tensor_product.h"

namespace fovea::cuda {
namespace {

Conv2dProducts products_of(DType values) { return values == DType::f32 ? conv2d_products<float>() : small_conv2d_products(values); }

using ProductOf = Product (*)(const Conv2dShape&, int, Tiles);

// function enqueues the product that `product` plans.
template <class Op, class Function>
KernelPtr product_kernel(const Op& op, DType values, ProductOf product, Function function) {
  const Conv2dShape& shape = op.shape;
  const Tiles tiles = tiles_for(values);
  size_t bytes = 0;  // the last range of images may have more parts than the full ones
  for_image_ranges(shape.n, elements_per_image(shape),
                   [&](int64_t, int images) { bytes = std::max(bytes, product(shape, images, tiles).workspace_bytes()); });
  return kernel("implicit gemm, " + product(shape, images_per_launch(shape), tiles).text(), op, function, bytes);
}

}  // namespace

template <>
KernelPtr Kernels::make(const Conv2dForward& op, const Limits&) {
  if (KernelPtr kernel = on_tensor_cores(op)) return kernel;
  const DType values = require_conv2d(op);
  if (is_depthwise(op.shape)) return depthwise_forward(op, Finish::nothing, WithBias::no);
  const auto run = [forward = products_of(values).forward](const Conv2dForward& o, const Buffers& buffers, const Launch& launch) {
    forward(o.shape, {}, buffers, launch);
  };
  return product_kernel(op, values, forward_product, run);
}

template <>
KernelPtr Kernels::make(const Conv2dBackwardData& op, const Limits&) {
  if (KernelPtr kernel = on_tensor_cores(op)) return kernel;
  const DType values = require_conv2d(op);
  if (is_depthwise(op.shape)) return depthwise_backward_data(op);
  return product_kernel(op, values, data_product, products_of(values).backward_data);
}

template <>
KernelPtr Kernels::make(const Conv2dBackwardFilter& op, const Limits&) {
  if (KernelPtr kernel = on_tensor_cores(op)) return kernel;
  const DType values = require_conv2d(op);
  if (is_depthwise(op.shape)) return depthwise_backward_filter(op);
  return product_kernel(op, values, filter_product, products_of(values).backward_filter);
}

KernelPtr conv2d_with_bias(const Conv2dForward& op, std::optional<Activation> activation) {
  if (KernelPtr kernel = on_tensor_cores_with_bias(op, activation)) return kernel;
  const DType values = require_conv2d(op);
  const Finish finish = activation ? finish_of(*activation) : Finish::nothing;
  if (is_depthwise(op.shape)) return depthwise_forward(op, finish, WithBias::yes);
  const auto run = [finish, forward = products_of(values).forward](const Conv2dForward& o, const Buffers& buffers, const Launch& launch) {
    forward(o.shape, {.finish = finish, .bias = input(buffers, 2)}, buffers, launch);
  };
  return product_kernel(op, values, forward_product, run);
}

}  // namespace fovea::cuda
