// Convolutions through the direct loops.
#include "fovea/backend/eigen/direct_conv2d.h"

#include <fmt/format.h>

#include <algorithm>

#include "fovea/backend/eigen/product.h"

namespace fovea::eigen {
namespace {

int64_t padded_h(const Conv2dShape& shape) { return shape.h + shape.window.pad_top + shape.window.pad_bottom; }
int64_t padded_w(const Conv2dShape& shape) { return shape.w + shape.window.pad_left + shape.window.pad_right; }
bool is_padded(const Conv2dShape& shape) { return padded_h(shape) != shape.h || padded_w(shape) != shape.w; }
int64_t image_floats(const Conv2dShape& shape) { return padded_h(shape) * padded_w(shape) * shape.c; }

// Of one group and one image.
DirectShape direct_shape(const Conv2dShape& shape) {
  const Window& window = shape.window;
  const int64_t c = shape.c / shape.groups, line = padded_w(shape) * shape.c;
  const bool joined = window.dilation_w == 1 && shape.groups == 1;
  return {.n = 1,
          .p = shape.p(),
          .q = shape.q(),
          .k = shape.k / shape.groups,
          .lines = window.r,
          .places = joined ? 1 : window.s,
          .run = joined ? window.s * c : c,
          .n_step = image_floats(shape),
          .p_step = window.stride_h * line,
          .q_step = window.stride_w * shape.c,
          .line_step = window.dilation_h * line,
          .place_step = window.dilation_w * shape.c,
          .y_stride = shape.k};
}

Packing packing(const Conv2dShape& shape) { return {shape.k / shape.groups, shape.window.r * shape.window.s * (shape.c / shape.groups)}; }

// The images with zeros around them; their own memory where they need none. Only what lies inside is written.
const float* with_padding(const Conv2dShape& shape, const Images& images, const float* x, float* padded) {
  x += images.first * input_floats(shape);
  if (!is_padded(shape)) return x;
  const int64_t line = shape.w * shape.c, padded_line = padded_w(shape) * shape.c;
  for (int64_t n = 0; n < images.count; ++n) {
    float* to = padded + n * image_floats(shape) + shape.window.pad_top * padded_line + shape.window.pad_left * shape.c;
    for (int64_t h = 0; h < shape.h; ++h, x += line) std::copy_n(x, line, to + h * padded_line);
  }
  return padded;
}

}  // namespace

bool direct_suits(const Conv2dShape& shape) { return shape.q() >= 4; }

std::string direct_algorithm() { return fmt::format("direct loops ({})", products().isa); }

DirectConv2dForward::DirectConv2dForward(const Conv2dShape& shape, Rectify rectify) : shape_(shape), rectify_(rectify) {}

int64_t DirectConv2dForward::workspace_floats() const {
  return shape_.groups * direct_loops().packed_floats(packing(shape_)) + (is_padded(shape_) ? image_floats(shape_) : 0);
}

void DirectConv2dForward::prepare(const float* w, const float* bias, float* workspace) {
  const Packing group = packing(shape_);
  packed_ = workspace;
  for (int64_t g = 0; g < shape_.groups; ++g) {
    direct_loops().pack(group, w + g * group.k * group.taps, bias == nullptr ? nullptr : bias + g * group.k, workspace);
    workspace += direct_loops().packed_floats(group);
  }
  padded_ = workspace;
  if (is_padded(shape_)) std::fill_n(padded_, image_floats(shape_), 0.0f);
}

void DirectConv2dForward::run(const Images& images, const float* x, float* y) const {
  const Packing group = packing(shape_);
  for (int64_t n = 0; n < images.count; ++n, y += output_floats(shape_)) {
    const float* image = with_padding(shape_, {images.first + n, 1}, x, padded_);
    for (int64_t g = 0; g < shape_.groups; ++g)
      direct_loops().forward({.shape = direct_shape(shape_),
                              .x = image + g * (shape_.c / shape_.groups),
                              .packed = packed_ + g * direct_loops().packed_floats(group),
                              .rectify = rectify_,
                              .y = y + g * group.k});
  }
}

int64_t DirectConv2dFilter::workspace_floats() const {
  return shape_.groups * direct_loops().packed_floats(packing(shape_)) +
         (is_padded(shape_) ? images_at_a_time(shape_) * image_floats(shape_) : 0);
}

void DirectConv2dFilter::prepare(float* workspace) {
  packed_ = workspace;
  padded_ = packed_ + shape_.groups * direct_loops().packed_floats(packing(shape_));
  std::fill_n(workspace, workspace_floats(), 0.0f);
}

void DirectConv2dFilter::run(const Images& images, const float* x, const float* dy) const {
  DirectShape direct = direct_shape(shape_);
  direct.n = images.count;
  const float* image = with_padding(shape_, images, x, padded_);
  for (int64_t g = 0; g < shape_.groups; ++g)
    direct_loops().filter({.shape = direct,
                           .x = image + g * (shape_.c / shape_.groups),
                           .dy = dy + g * direct.k,
                           .packed = packed_ + g * direct_loops().packed_floats(packing(shape_))});
}

void DirectConv2dFilter::finish(Into into, float* dw) const {
  const Packing group = packing(shape_);
  if (into == Into::overwrite) std::fill_n(dw, shape_.groups * group.k * group.taps, 0.0f);
  for (int64_t g = 0; g < shape_.groups; ++g)
    direct_loops().add_unpacked(group, packed_ + g * direct_loops().packed_floats(group), dw + g * group.k * group.taps);
}

}  // namespace fovea::eigen
