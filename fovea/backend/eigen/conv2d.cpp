// Convolutions as matrix products over blocks of lowered patches; group by group.
#include <fmt/format.h>

#include <algorithm>

#include "fovea/backend/eigen/backend.h"
#include "fovea/backend/eigen/direct_conv2d.h"
#include "fovea/backend/eigen/kernel.h"
#include "fovea/backend/eigen/lowering.h"
#include "fovea/backend/eigen/product.h"

namespace fovea::eigen {
namespace {

// A patch is the pixel itself: nothing to lower.
bool is_pointwise(const Conv2dShape& shape) {
  Window one;
  return shape.window == one;
}

// body(rows, patches, patch stride) for each block of output pixels of each group; `columns` holds the patches of a block.
template <class Body>
void for_each_block(const Conv2dShape& shape, Body body) {
  const int64_t total = shape.n * shape.p() * shape.q(), block = block_rows(shape);
  for (int64_t group = 0; group < shape.groups; ++group)
    for (int64_t first = 0; first < total; first += block) body(PatchRows{first, std::min(block, total - first), group});
}

struct Operand {
  const float* data;
  int64_t stride;
};

Operand patches(const Conv2dShape& shape, const PatchRows& rows, const float* x, float* columns) {
  if (is_pointwise(shape)) return {x + rows.first * shape.c + rows.group * (shape.c / shape.groups), shape.c};
  gather_patches(shape, rows, x, columns);
  return {columns, patch_length(shape)};
}

void conv2d_forward(const Conv2dForward& op, const Buffers& buffers, void* workspace) {
  const Conv2dShape& shape = op.shape;
  const float* x = input(buffers, 0);
  const float* w = input(buffers, 1);
  float* y = output(buffers, 0);
  const int64_t length = patch_length(shape), k = shape.k / shape.groups;
  for_each_block(shape, [&](const PatchRows& rows) {
    const Operand a = patches(shape, rows, x, static_cast<float*>(workspace));
    products().a_b_transposed({.rows = rows.count,
                               .columns = k,
                               .depth = length,
                               .a = a.data,
                               .a_stride = a.stride,
                               .b = w + rows.group * k * length,
                               .b_stride = length,
                               .c = y + rows.first * shape.k + rows.group * k,
                               .c_stride = shape.k},
                              Accumulate::no);
  });
}

void conv2d_backward_data(const Conv2dBackwardData& op, const Buffers& buffers, void* workspace) {
  const Conv2dShape& shape = op.shape;
  const float* dy = input(buffers, 0);
  const float* w = input(buffers, 1);
  float* dx = output(buffers, 0);
  float* columns = static_cast<float*>(workspace);
  const int64_t length = patch_length(shape), c = shape.c / shape.groups, k = shape.k / shape.groups;
  const bool direct = is_pointwise(shape);
  if (!direct && op.into == Into::overwrite) std::fill_n(dx, shape.x().elements(), 0.0f);
  for_each_block(shape, [&](const PatchRows& rows) {
    products().a_b({.rows = rows.count,
                    .columns = length,
                    .depth = k,
                    .a = dy + rows.first * shape.k + rows.group * k,
                    .a_stride = shape.k,
                    .b = w + rows.group * k * length,
                    .b_stride = length,
                    .c = direct ? dx + rows.first * shape.c + rows.group * c : columns,
                    .c_stride = direct ? shape.c : length},
                   direct && op.into == Into::add ? Accumulate::yes : Accumulate::no);
    if (!direct) scatter_patches(shape, rows, columns, dx);
  });
}

void conv2d_backward_filter(const Conv2dBackwardFilter& op, const Buffers& buffers, void* workspace) {
  const Conv2dShape& shape = op.shape;
  const float* x = input(buffers, 0);
  const float* dy = input(buffers, 1);
  float* dw = output(buffers, 0);
  const int64_t length = patch_length(shape), k = shape.k / shape.groups;
  for_each_block(shape, [&](const PatchRows& rows) {
    const Operand b = patches(shape, rows, x, static_cast<float*>(workspace));
    products().a_transposed_b({.rows = k,
                               .columns = length,
                               .depth = rows.count,
                               .a = dy + rows.first * shape.k + rows.group * k,
                               .a_stride = shape.k,
                               .b = b.data,
                               .b_stride = b.stride,
                               .c = dw + rows.group * k * length,
                               .c_stride = length},
                              rows.first > 0 || op.into == Into::add ? Accumulate::yes : Accumulate::no);
  });
}

void direct_forward(const Conv2dForward& op, const Buffers& buffers, void* workspace) {
  DirectConv2dForward direct(op.shape, Rectify::no);
  direct.prepare(input(buffers, 1), nullptr, static_cast<float*>(workspace));
  direct.run({0, op.shape.n}, input(buffers, 0), output(buffers, 0));
}

// The last images of dy are copied, so that whole vectors can be read behind them.
void direct_filter(const Conv2dBackwardFilter& op, const Buffers& buffers, void* workspace) {
  const Conv2dShape& shape = op.shape;
  DirectConv2dFilter direct(shape);
  const int64_t block = direct.images_at_a_time(), image = shape.p() * shape.q() * shape.k;
  float* last = static_cast<float*>(workspace) + direct.workspace_floats();
  direct.prepare(static_cast<float*>(workspace));
  for (int64_t first = 0; first < shape.n; first += block) {
    const Images images{first, std::min(block, shape.n - first)};
    const float* dy = input(buffers, 1) + first * image;
    if (first + block >= shape.n) {
      std::copy_n(dy, images.count * image, last);
      std::fill_n(last + images.count * image, direct.readable_behind_dy(), 0.0f);
      dy = last;
    }
    direct.run(images, input(buffers, 0), dy);
  }
  direct.finish(op.into, output(buffers, 0));
}

int64_t direct_filter_floats(const Conv2dShape& shape) {
  const DirectConv2dFilter direct(shape);
  return direct.workspace_floats() + direct.images_at_a_time() * shape.p() * shape.q() * shape.k + direct.readable_behind_dy();
}

int64_t columns_floats(const Conv2dShape& shape) { return is_pointwise(shape) ? 0 : block_rows(shape) * patch_length(shape); }

std::string direct_name() { return fmt::format("direct loops ({})", products().isa); }

std::string algorithm(const Conv2dShape& shape) {
  return is_pointwise(shape) ? fmt::format("Eigen product ({})", products().isa)
                             : fmt::format("im2col, Eigen product ({})", products().isa);
}

}  // namespace

KernelPtr EigenBackend::make(const Conv2dForward& op, const Limits& limits) {
  if (!in_float(op.types)) return ReferenceBackend::make(op, limits);
  if (direct_suits(op.shape))
    return kernel(direct_name(), op, direct_forward, DirectConv2dForward(op.shape, Rectify::no).workspace_floats());
  return kernel(algorithm(op.shape), op, conv2d_forward, columns_floats(op.shape));
}
KernelPtr EigenBackend::make(const Conv2dBackwardData& op, const Limits& limits) {
  if (!in_float(op.types)) return ReferenceBackend::make(op, limits);
  return kernel(algorithm(op.shape), op, conv2d_backward_data, columns_floats(op.shape));
}
KernelPtr EigenBackend::make(const Conv2dBackwardFilter& op, const Limits& limits) {
  if (!in_float(op.types)) return ReferenceBackend::make(op, limits);
  if (direct_suits(op.shape)) return kernel(direct_name(), op, direct_filter, direct_filter_floats(op.shape));
  return kernel(algorithm(op.shape), op, conv2d_backward_filter, columns_floats(op.shape));
}

}  // namespace fovea::eigen
