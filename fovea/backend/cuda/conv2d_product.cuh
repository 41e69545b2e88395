// Convolution as a product of matrices that are never written down (implicit GEMM): forward, and the gradients of image and filter, for
// values and filters of one type T. The gradient of the filter is in f32.
#pragma once

#include "fovea/backend/cuda/conv2d.cuh"

namespace fovea::cuda {

// Channels are read four at a time where they can be.
inline ProductSizes sizes_of(const Sizes& sizes, Tiles tiles, int3 mnk) {
  const Width width = sizes.group_c % 4 == 0 && sizes.group_k % 4 == 0 ? Width::four : Width::one;
  return {.m = mnk.x, .n = mnk.y, .k = mnk.z, .groups = sizes.groups, .width = width, .tiles = tiles};
}

inline Product forward_product(const Conv2dShape& shape, int images, Tiles tiles) {
  const Sizes sizes(shape);
  return plan_product(sizes_of(sizes, tiles, {images * sizes.p * sizes.q, sizes.group_k, sizes.taps}));
}
inline Product data_product(const Conv2dShape& shape, int images, Tiles tiles) {
  const Sizes sizes(shape);
  return plan_product(sizes_of(sizes, tiles, {images * sizes.h * sizes.w, sizes.group_c, sizes.r * sizes.s * sizes.group_k}));
}
inline Product filter_product(const Conv2dShape& shape, int images, Tiles tiles) {
  const Sizes sizes(shape);
  return plan_product(sizes_of(sizes, tiles, {sizes.taps, sizes.group_k, images * sizes.p * sizes.q}));
}

template <class T>
constexpr Tiles tiles_of = sizeof(T) == 2 ? Tiles::few : Tiles::all;

template <class T>
void conv2d_forward(const Conv2dShape& shape, const Epilogue& like, const Buffers& buffers, const Launch& launch) {
  const Sizes sizes(shape);
  for_image_ranges(shape.n, elements_per_image(shape), [&](int64_t first, int images) {
    const auto x = patches<PatchesByPixel<T>>(shape, images, input_of<T>(buffers, 0) + first * shape.h * shape.w * shape.c);
    const Matrix<Along::k, T> w = {.data = input_of<T>(buffers, 1),
                                   .rows = sizes.group_k,
                                   .columns = sizes.taps,
                                   .row_stride = sizes.taps,
                                   .column_stride = 1,
                                   .group = sizes.group_k * sizes.taps};
    Epilogue epilogue = like;
    epilogue.out = at(buffers.out[0], first * shape.p() * shape.q() * shape.k);
    epilogue.type = buffers.out[0].dtype;
    epilogue.stride_m = sizes.k;
    epilogue.group = sizes.group_k;
    multiply(x, w, forward_product(shape, images, tiles_of<T>), epilogue, launch);
  });
}

template <class T>
void conv2d_backward_data(const Conv2dBackwardData& op, const Buffers& buffers, const Launch& launch) {
  const Conv2dShape& shape = op.shape;
  const Sizes sizes(shape);
  for_image_ranges(shape.n, elements_per_image(shape), [&](int64_t first, int images) {
    const T* from = input_of<T>(buffers, 0) + first * shape.p() * shape.q() * shape.k;
    const FilterByChannel<T> w = {.data = input_of<T>(buffers, 1),
                                  .channels = sizes.group_c,
                                  .taps = sizes.r * sizes.s * sizes.group_k,
                                  .filter = sizes.taps,
                                  .group = sizes.group_k * sizes.taps,
                                  .by_k = Divider(sizes.group_k)};
    const Epilogue epilogue = {.out = at(buffers.out[0], first * shape.h * shape.w * shape.c),
                               .type = buffers.out[0].dtype,
                               .stride_m = sizes.c,
                               .group = sizes.group_c,
                               .into = op.into};
    const Product product = data_product(shape, images, tiles_of<T>);
    if (shape.window.stride_h == 1 && shape.window.stride_w == 1)
      multiply(backward_patches(shape, images, from), w, product, epilogue, launch);
    else
      multiply(spread_outputs(shape, images, from), w, product, epilogue, launch);
  });
}

template <class T>
void conv2d_backward_filter(const Conv2dBackwardFilter& op, const Buffers& buffers, const Launch& launch) {
  const Conv2dShape& shape = op.shape;
  const Sizes sizes(shape);
  for_image_ranges(shape.n, elements_per_image(shape), [&](int64_t first, int images) {
    const auto x = patches<PatchesByTap<T>>(shape, images, input_of<T>(buffers, 0) + first * shape.h * shape.w * shape.c);
    const Matrix<Along::row, T> dy = {.data = input_of<T>(buffers, 1) + first * shape.p() * shape.q() * shape.k,
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
    multiply(x, dy, filter_product(shape, images, tiles_of<T>), epilogue, launch);
  });
}

// What the kernels for one type of values are made of: instances of the templates above, in files of their own.
struct Conv2dProducts {
  void (*forward)(const Conv2dShape&, const Epilogue&, const Buffers&, const Launch&);
  void (*backward_data)(const Conv2dBackwardData&, const Buffers&, const Launch&);
  void (*backward_filter)(const Conv2dBackwardFilter&, const Buffers&, const Launch&);
};
template <class T>
constexpr Conv2dProducts conv2d_products() {
  return {conv2d_forward<T>, conv2d_backward_data<T>, conv2d_backward_filter<T>};
}
Conv2dProducts small_conv2d_products(DType values);  // of bf16 or fp16

}  // namespace fovea::cuda
