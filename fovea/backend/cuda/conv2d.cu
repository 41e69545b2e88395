// Convolution as a product of matrices that are never written down (implicit GEMM): forward, and the gradients of image and filter.
#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cuda/claims.h"
#include "fovea/backend/cuda/conv2d.cuh"
#include "fovea/backend/cuda/depthwise.h"

namespace fovea::cuda {
namespace {

// Channels are read four at a time where they can be.
ProductSizes sizes_of(const Sizes& sizes, int m, int n, int k) {
  return {
      .m = m, .n = n, .k = k, .groups = sizes.groups, .width = sizes.group_c % 4 == 0 && sizes.group_k % 4 == 0 ? Width::four : Width::one};
}

Product forward_product(const Conv2dShape& shape, int images) {
  const Sizes sizes(shape);
  return plan_product(sizes_of(sizes, images * sizes.p * sizes.q, sizes.group_k, sizes.taps));
}
Product data_product(const Conv2dShape& shape, int images) {
  const Sizes sizes(shape);
  return plan_product(sizes_of(sizes, images * sizes.h * sizes.w, sizes.group_c, sizes.r * sizes.s * sizes.group_k));
}
Product filter_product(const Conv2dShape& shape, int images) {
  const Sizes sizes(shape);
  return plan_product(sizes_of(sizes, sizes.taps, sizes.group_k, images * sizes.p * sizes.q));
}

using ProductOf = Product (*)(const Conv2dShape&, int);

// The last range of images may have more parts than the full ones.
size_t workspace_of(const Conv2dShape& shape, ProductOf product) {
  size_t bytes = 0;
  for_image_ranges(shape.n, elements_per_image(shape),
                   [&](int64_t, int images) { bytes = std::max(bytes, product(shape, images).workspace_bytes()); });
  return bytes;
}

std::string text_of(const Conv2dShape& shape, ProductOf product) {
  return "implicit gemm, " + product(shape, images_per_launch(shape)).text();
}

void conv2d_forward(const Conv2dShape& shape, const Epilogue& like, const Buffers& buffers, const Launch& launch) {
  const Sizes sizes(shape);
  for_image_ranges(shape.n, elements_per_image(shape), [&](int64_t first, int images) {
    const PatchesByPixel x = patches<PatchesByPixel>(shape, images, input(buffers, 0) + first * shape.h * shape.w * shape.c);
    const Matrix<Along::k> w = {.data = input(buffers, 1),
                                .rows = sizes.group_k,
                                .columns = sizes.taps,
                                .row_stride = sizes.taps,
                                .column_stride = 1,
                                .group = sizes.group_k * sizes.taps};
    Epilogue epilogue = like;
    epilogue.out = output(buffers, 0) + first * shape.p() * shape.q() * shape.k;
    epilogue.stride_m = sizes.k;
    epilogue.group = sizes.group_k;
    multiply(x, w, forward_product(shape, images), epilogue, launch);
  });
}

void conv2d_backward_data(const Conv2dBackwardData& op, const Buffers& buffers, const Launch& launch) {
  const Conv2dShape& shape = op.shape;
  const Sizes sizes(shape);
  for_image_ranges(shape.n, elements_per_image(shape), [&](int64_t first, int images) {
    const float* from = input(buffers, 0) + first * shape.p() * shape.q() * shape.k;
    const FilterByChannel w = {.data = input(buffers, 1),
                               .channels = sizes.group_c,
                               .taps = sizes.r * sizes.s * sizes.group_k,
                               .filter = sizes.taps,
                               .group = sizes.group_k * sizes.taps,
                               .by_k = Divider(sizes.group_k)};
    const Epilogue epilogue = {
        .out = output(buffers, 0) + first * shape.h * shape.w * shape.c, .stride_m = sizes.c, .group = sizes.group_c, .into = op.into};
    const Product product = data_product(shape, images);
    if (shape.window.stride_h == 1 && shape.window.stride_w == 1)
      multiply(backward_patches(shape, images, from), w, product, epilogue, launch);
    else
      multiply(spread_outputs(shape, images, from), w, product, epilogue, launch);
  });
}

void conv2d_backward_filter(const Conv2dBackwardFilter& op, const Buffers& buffers, const Launch& launch) {
  const Conv2dShape& shape = op.shape;
  const Sizes sizes(shape);
  for_image_ranges(shape.n, elements_per_image(shape), [&](int64_t first, int images) {
    const PatchesByTap x = patches<PatchesByTap>(shape, images, input(buffers, 0) + first * shape.h * shape.w * shape.c);
    const Matrix<Along::row> dy = {.data = input(buffers, 1) + first * shape.p() * shape.q() * shape.k,
                                   .rows = sizes.group_k,
                                   .columns = images * sizes.p * sizes.q,
                                   .row_stride = 1,
                                   .column_stride = sizes.k,
                                   .group = sizes.group_k};
    const Epilogue epilogue = {.out = output(buffers, 0),
                               .stride_m = 1,
                               .stride_n = sizes.taps,
                               .group = sizes.group_k * sizes.taps,
                               .into = first == 0 ? op.into : Into::add};
    multiply(x, dy, filter_product(shape, images), epilogue, launch);
  });
}

}  // namespace

template <>
KernelPtr Kernels::make(const Conv2dForward& op, const Limits&) {
  require_countable_conv2d(op);
  if (is_depthwise(op.shape)) return depthwise_forward(op, Finish::nothing, WithBias::no);
  const auto run = [](const Conv2dForward& o, const Buffers& buffers, const Launch& launch) {
    conv2d_forward(o.shape, {}, buffers, launch);
  };
  return kernel(text_of(op.shape, forward_product), op, run, workspace_of(op.shape, forward_product));
}

template <>
KernelPtr Kernels::make(const Conv2dBackwardData& op, const Limits&) {
  require_countable_conv2d(op);
  if (is_depthwise(op.shape)) return depthwise_backward_data(op);
  return kernel(text_of(op.shape, data_product), op, conv2d_backward_data, workspace_of(op.shape, data_product));
}

template <>
KernelPtr Kernels::make(const Conv2dBackwardFilter& op, const Limits&) {
  require_countable_conv2d(op);
  if (is_depthwise(op.shape)) return depthwise_backward_filter(op);
  return kernel(text_of(op.shape, filter_product), op, conv2d_backward_filter, workspace_of(op.shape, filter_product));
}

KernelPtr conv2d_with_bias(const Conv2dForward& op, std::optional<Activation> activation) {
  require_countable_conv2d(op);
  const Finish finish = activation ? finish_of(*activation) : Finish::nothing;
  if (is_depthwise(op.shape)) return depthwise_forward(op, finish, WithBias::yes);
  const auto run = [finish](const Conv2dForward& o, const Buffers& buffers, const Launch& launch) {
    conv2d_forward(o.shape, {.finish = finish, .bias = input(buffers, 2)}, buffers, launch);
  };
  return kernel(text_of(op.shape, forward_product), op, run, workspace_of(op.shape, forward_product));
}

}  // namespace fovea::cuda
