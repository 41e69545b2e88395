// Depthwise convolution through the loops of depthwise_loops.h.
#include "fovea/backend/eigen/depthwise.h"

#include <fmt/format.h>

#include <algorithm>

#include "fovea/backend/eigen/product.h"

namespace fovea::eigen {
namespace {

struct Axis {
  int64_t size, outputs, window, stride, before, dilation;
  Tap input, output;  // steps in floats of source and filter, where the input or the output is read
};

Axis rows_of(const Conv2dShape& shape) {
  const Window& window = shape.window;
  const int64_t filter = window.s * shape.c;
  return {shape.h,
          shape.p(),
          window.r,
          window.stride_h,
          window.pad_top,
          window.dilation_h,
          {shape.w * shape.c, filter},
          {shape.q() * shape.c, filter}};
}
Axis columns_of(const Conv2dShape& shape) {
  const Window& window = shape.window;
  return {shape.w, shape.q(), window.s, window.stride_w, window.pad_left, window.dilation_w, {shape.c, shape.c}, {shape.c, shape.c}};
}

AxisTaps reading_input(const Axis& axis) {
  AxisTaps result;
  for (int64_t place = 0; place < axis.outputs; ++place) {
    for (int64_t i = 0; i < axis.window; ++i) {
      const int64_t source = place * axis.stride - axis.before + i * axis.dilation;
      if (source >= 0 && source < axis.size) result.taps.push_back({source * axis.input.source, i * axis.input.filter});
    }
    result.end.push_back(std::ssize(result.taps));
  }
  return result;
}

AxisTaps reading_output(const Axis& axis) {
  AxisTaps result;
  for (int64_t place = 0; place < axis.size; ++place) {
    for (int64_t i = 0; i < axis.window; ++i) {
      const int64_t from = place + axis.before - i * axis.dilation;
      if (from >= 0 && from % axis.stride == 0 && from / axis.stride < axis.outputs)
        result.taps.push_back({from / axis.stride * axis.output.source, i * axis.output.filter});
    }
    result.end.push_back(std::ssize(result.taps));
  }
  return result;
}

DepthwiseLine line_of(const AxisTaps& rows, int64_t row, const AxisTaps& columns, int64_t c) {
  return {.pixels = std::ssize(columns.end),
          .c = c,
          .rows = rows.taps.data() + rows.begin_of(row),
          .row_count = rows.count_of(row),
          .columns = columns.taps.data(),
          .column_end = columns.end.data()};
}

}  // namespace

bool depthwise_suits(const Conv2dShape& shape) { return shape.groups == shape.c && shape.k == shape.c && shape.c > 1; }
std::string depthwise_algorithm() { return fmt::format("depthwise loops ({})", products().isa); }

DepthwiseConv2d::DepthwiseConv2d(const Conv2dShape& shape)
    : shape_(shape),
      forward_rows_(reading_input(rows_of(shape))),
      forward_columns_(reading_input(columns_of(shape))),
      backward_rows_(reading_output(rows_of(shape))),
      backward_columns_(reading_output(columns_of(shape))) {}

void DepthwiseConv2d::pack(const float* w, float* packed) const {
  const int64_t places = shape_.window.r * shape_.window.s;
  for (int64_t place = 0; place < places; ++place)
    for (int64_t k = 0; k < shape_.k; ++k) packed[place * shape_.k + k] = w[k * places + place];
}

void DepthwiseConv2d::unpack(Into into, const float* packed, float* w) const {
  const int64_t places = shape_.window.r * shape_.window.s;
  for (int64_t k = 0; k < shape_.k; ++k)
    for (int64_t place = 0; place < places; ++place) {
      float& to = w[k * places + place];
      to = (into == Into::add ? to : 0) + packed[place * shape_.k + k];
    }
}

void DepthwiseConv2d::forward(const Range& lines, const float* x, const float* packed, float* y) const {
  const int64_t p_count = shape_.p(), line_floats = shape_.q() * shape_.c;
  for (int64_t i = lines.first; i < lines.first + lines.count; ++i) {
    DepthwiseLine line = line_of(forward_rows_, i % p_count, forward_columns_, shape_.c);
    line.source = x + i / p_count * (shape_.h * shape_.w * shape_.c);
    line.filter = packed;
    line.out = y + i * line_floats;
    depthwise_loops().line(line);
  }
}

void DepthwiseConv2d::backward_data(const Range& lines, const float* dy, const float* packed, float* dx, Into into) const {
  const int64_t line_floats = shape_.w * shape_.c;
  for (int64_t i = lines.first; i < lines.first + lines.count; ++i) {
    DepthwiseLine line = line_of(backward_rows_, i % shape_.h, backward_columns_, shape_.c);
    line.source = dy + i / shape_.h * (shape_.p() * shape_.q() * shape_.c);
    line.filter = packed;
    line.out = dx + i * line_floats;
    line.mode = into == Into::add ? DepthwiseLine::Mode::add : DepthwiseLine::Mode::overwrite;
    depthwise_loops().line(line);
  }
}

void DepthwiseConv2d::backward_filter(const Range& lines, const float* x, const float* dy, float* packed) const {
  const Window& window = shape_.window;
  const int64_t p_count = shape_.p(), q_count = shape_.q(), c = shape_.c, stride = window.stride_w;
  for (int64_t i = lines.first; i < lines.first + lines.count; ++i) {
    const DepthwiseLine line = line_of(forward_rows_, i % p_count, forward_columns_, c);
    for (int64_t row = 0; row < line.row_count; ++row)
      for (int64_t s = 0; s < window.s; ++s) {
        const int64_t first_w = s * window.dilation_w - window.pad_left;  // under the first output pixel
        const int64_t begin = first_w < 0 ? (-first_w + stride - 1) / stride : 0;
        const int64_t end = first_w < shape_.w ? std::min(q_count, (shape_.w - first_w + stride - 1) / stride) : 0;
        if (begin >= end) continue;
        depthwise_loops().products(
            {.pixels = end - begin,
             .c = c,
             .x = x + i / p_count * (shape_.h * shape_.w * c) + line.rows[row].source + (first_w + begin * stride) * c,
             .x_step = stride * c,
             .dy = dy + (i * q_count + begin) * c,
             .sums = packed + line.rows[row].filter + s * c});
      }
  }
}

}  // namespace fovea::eigen
