// Convolutions as Eigen products of lowered patches.
#include "fovea/backend/eigen/lowered_conv2d.h"

#include <fmt/format.h>

#include <algorithm>

#include "fovea/backend/eigen/lowering.h"
#include "fovea/backend/eigen/product.h"

namespace fovea::eigen {

// Images whose patches are lowered at a time when whole images are; 0: lines of them are.
int64_t LoweredConv2d::whole_images() const {
  const int64_t rows = shape_.p() * shape_.q();
  if (is_pointwise() || shape_.groups != 1 || shape_.window.dilation_w != 1 || rows > block_rows(shape_)) return 0;
  return block_rows(shape_) / rows;
}

int64_t LoweredConv2d::workspace_floats() const { return is_pointwise() ? 0 : block_rows(shape_) * patch_length(shape_) + 16; }

std::string LoweredConv2d::algorithm() const {
  return fmt::format("{}Eigen product ({})", is_pointwise() ? "" : "im2col, ", products().isa);
}

// body(first output pixel of the range, count, group).
template <class Body>
void LoweredConv2d::for_each_block(const Images& images, Body body) const {
  const int64_t image = shape_.p() * shape_.q(), total = images.count * image;
  const int64_t block = whole_images() > 0 ? whole_images() * image : block_rows(shape_);
  for (int64_t group = 0; group < shape_.groups; ++group)
    for (int64_t first = 0; first < total; first += block) body(first, std::min(block, total - first), group);
}

LoweredConv2d::Operand LoweredConv2d::patches(int64_t first, int64_t count, int64_t group, const float* x) const {
  if (is_pointwise()) return {x + first * shape_.c + group * (shape_.c / shape_.groups), shape_.c};
  gather_patches(shape_, {first, count, group}, x, columns_);
  return {columns_, patch_length(shape_)};
}

void LoweredConv2d::forward(const Images& images, const float* x, const float* w, float* y) const {
  const int64_t length = patch_length(shape_), k = shape_.k / shape_.groups;
  const float* range = x + images.first * input_floats(shape_);
  for_each_block(images, [&](int64_t first, int64_t count, int64_t group) {
    const Operand a = patches(first, count, group, range);
    products().a_b_transposed({.rows = count,
                               .columns = k,
                               .depth = length,
                               .a = a.data,
                               .a_stride = a.stride,
                               .b = w + group * k * length,
                               .b_stride = length,
                               .c = y + first * shape_.k + group * k,
                               .c_stride = shape_.k},
                              Accumulate::no);
  });
}

void LoweredConv2d::backward_data(const Images& images, Into into, const float* dy, const float* w, float* dx) const {
  const int64_t length = patch_length(shape_), c = shape_.c / shape_.groups, k = shape_.k / shape_.groups;
  const int64_t image = shape_.p() * shape_.q();
  float* range = dx + images.first * input_floats(shape_);
  if (!is_pointwise() && into == Into::overwrite) std::fill_n(range, images.count * input_floats(shape_), 0.0f);
  for_each_block(images, [&](int64_t first, int64_t count, int64_t group) {
    products().a_b({.rows = count,
                    .columns = length,
                    .depth = k,
                    .a = dy + first * shape_.k + group * k,
                    .a_stride = shape_.k,
                    .b = w + group * k * length,
                    .b_stride = length,
                    .c = is_pointwise() ? range + first * shape_.c + group * c : columns_,
                    .c_stride = is_pointwise() ? shape_.c : length},
                   is_pointwise() && into == Into::add ? Accumulate::yes : Accumulate::no);
    if (whole_images() > 0)
      scatter_images(shape_, count / image, columns_, range + first / image * input_floats(shape_));
    else if (!is_pointwise())
      scatter_patches(shape_, {first, count, group}, columns_, range);
  });
}

void LoweredConv2d::backward_filter(const Images& images, Into into, const float* x, const float* dy, float* dw) const {
  const int64_t length = patch_length(shape_), k = shape_.k / shape_.groups;
  const float* range = x + images.first * input_floats(shape_);
  for_each_block(images, [&](int64_t first, int64_t count, int64_t group) {
    const Operand b = patches(first, count, group, range);
    products().a_transposed_b({.rows = k,
                               .columns = length,
                               .depth = count,
                               .a = dy + first * shape_.k + group * k,
                               .a_stride = shape_.k,
                               .b = b.data,
                               .b_stride = b.stride,
                               .c = dw + group * k * length,
                               .c_stride = length},
                              first > 0 || into == Into::add ? Accumulate::yes : Accumulate::no);
  });
}

}  // namespace fovea::eigen
