#include "fovea/backend/openmp/correlation.h"

#include <algorithm>
#include <numeric>

#include "fovea/backend/openmp/parallel.h"
#include "fovea/backend/openmp/simd.h"

namespace fovea::openmp {
namespace {

// What one axis of a convolution has.
struct AxisShape {
  int64_t in, out, taps, stride, pad, dilation;
};

AxisShape axis_h(const Conv2dShape& shape) {
  const Window& window = shape.window;
  return {shape.h, shape.p(), window.r, window.stride_h, window.pad_top, window.dilation_h};
}
AxisShape axis_w(const Conv2dShape& shape) {
  const Window& window = shape.window;
  return {shape.w, shape.q(), window.s, window.stride_w, window.pad_left, window.dilation_w};
}

Axis forward_axis(const AxisShape& axis) {
  return {.outputs = axis.out, .taps = axis.taps, .first_in = -axis.pad, .in_step = axis.stride, .tap_in = axis.dilation};
}

// Input place i gets tap r of output (i + pad - r dilation) / stride where that has no remainder: for i = first + j stride from every
// stride / gcd(stride, dilation)-th tap, the last of them first, so that outputs go upwards.
Axis backward_axis(const AxisShape& axis, int64_t first) {
  const int64_t divisor = std::gcd(axis.stride, axis.dilation), step = axis.stride / divisor;
  Axis phase = {.outputs = (axis.in - first + axis.stride - 1) / axis.stride, .first_out = first, .out_step = axis.stride, .taps = 0};
  phase.tap_step = -step;
  phase.tap_in = axis.dilation / divisor;
  for (int64_t r = axis.taps - 1; r >= 0; --r) {
    const int64_t from = first + axis.pad - r * axis.dilation;
    if (from % axis.stride != 0) continue;
    if (phase.taps++ > 0) continue;
    phase.first_tap = r;
    phase.first_in = from / axis.stride;
  }
  return phase;
}

std::vector<Axis> backward_axes(const AxisShape& axis) {
  std::vector<Axis> phases;
  for (int64_t first = 0; first < std::min(axis.stride, axis.in); ++first) phases.push_back(backward_axis(axis, first));
  return phases;
}

// A window of one pixel makes the batch one column of pixels.
Conv2dShape joined(Conv2dShape shape) {
  if (shape.window == Window{}) shape.h *= shape.n * shape.w, shape.n = shape.w = 1;
  return shape;
}

}  // namespace

Correlation Correlation::forward(const Conv2dShape& shape) { return {Direction::forward, joined(shape)}; }
Correlation Correlation::backward_data(const Conv2dShape& shape) { return {Direction::backward_data, joined(shape)}; }

Correlation::Correlation(Direction direction, const Conv2dShape& shape) : direction_(direction), shape_(shape), groups_(shape.groups) {
  const bool is_forward = direction == Direction::forward;
  const int64_t c = shape.c / groups_, k = shape.k / groups_;
  depth_ = is_forward ? c : k;
  columns_ = is_forward ? k : c;
  source_ = is_forward ? SourceShape{shape.n, shape.h, shape.w, shape.c} : SourceShape{shape.n, shape.p(), shape.q(), shape.k};
  out_h_ = is_forward ? shape.p() : shape.h;
  out_w_ = is_forward ? shape.q() : shape.w;
  const std::vector<Axis> axes_h = is_forward ? std::vector{forward_axis(axis_h(shape))} : backward_axes(axis_h(shape));
  const std::vector<Axis> axes_w = is_forward ? std::vector{forward_axis(axis_w(shape))} : backward_axes(axis_w(shape));
  panels_per_group_ = (columns_ + 2 * lanes() - 1) / (2 * lanes());
  padded_columns_ = (columns_ + lanes() - 1) / lanes() * lanes();
  group_floats_ = 0;
  for (const Axis& h : axes_h)
    for (const Axis& w : axes_w) {
      phases_.push_back({h, w, group_floats_});
      group_floats_ += phases_.back().taps() * depth_ * padded_columns_;
      lines_ = std::max(lines_, h.outputs);
    }
}

Correlation::Panel Correlation::panel(int64_t index) const {
  const int64_t first = index % panels_per_group_ * 2 * lanes();
  return {index / panels_per_group_, first, std::min<int64_t>(columns_ - first, 2 * lanes()),
          std::min<int64_t>(padded_columns_ - first, 2 * lanes())};
}

void Correlation::pack(int threads, const float* w, float* packed) const {
  struct Part {
    const Phase* phase;
    int64_t tap_h;
  };
  std::vector<Part> parts;
  for (const Phase& phase : phases_)
    for (int64_t tap_h = 0; tap_h < phase.h.taps && phase.w.taps > 0; ++tap_h) parts.push_back({&phase, tap_h});
  const int64_t count = std::ssize(parts);
  parallel_for(threads, panels() * count, [&](int64_t task) {
    const Panel panel = this->panel(task / count);
    const auto [phase, tap_h] = parts[static_cast<size_t>(task % count)];
    pack_line(panel, *phase, tap_h, w, packed + panel_floats(*phase, panel) + tap_h * phase->w.taps * depth_ * panel.width);
  });
}

// One line of taps of one panel: (taps, depth, width), with zeros beyond its columns.
void Correlation::pack_line(const Panel& panel, const Phase& phase, int64_t tap_h, const float* w, float* to) const {
  const int64_t r = phase.h.first_tap + tap_h * phase.h.tap_step, c = shape_.c / groups_, k = shape_.k / groups_;
  const int64_t taps = shape_.window.r * shape_.window.s;
  const bool is_forward = direction_ == Direction::forward;
  for (int64_t tap = 0; tap < phase.w.taps; ++tap) {
    const int64_t s = phase.w.first_tap + tap * phase.w.tap_step;
    const float* from = w + (panel.group * k * taps + r * shape_.window.s + s) * c + panel.first * (is_forward ? taps * c : 1);
    const int64_t column_step = is_forward ? taps * c : 1, depth_step = is_forward ? 1 : taps * c;
    for (int64_t d = 0; d < depth_; ++d, to += panel.width) {
      for (int64_t j = 0; j < panel.columns; ++j) to[j] = from[d * depth_step + j * column_step];
      std::fill(to + panel.columns, to + panel.width, 0.0f);
    }
  }
}

double Correlation::useful_part() const {
  double all = 0;
  for (const Phase& phase : phases_)
    all += static_cast<double>(phase.h.outputs * phase.w.outputs * phase.taps()) * static_cast<double>(depth_ * padded_columns_);
  return static_cast<double>(shape_.macs()) / (all * static_cast<double>(source_.n * groups_));
}

int64_t Correlation::least_lines() const {
  const int64_t outputs = phases_.front().w.outputs;
  return (13 + outputs) / outputs;
}

SourceWindow Correlation::window(int64_t first_line, int64_t lines) const {
  SourceWindow all = {source_.h, -1, source_.w, -1};
  for (const Phase& phase : phases_) {
    const int64_t end = std::min(first_line + lines, phase.h.outputs);
    if (phase.taps() == 0 || end <= first_line) continue;
    all.lowest_h = std::min(all.lowest_h, phase.h.lowest(first_line));
    all.highest_h = std::max(all.highest_h, phase.h.highest(end - 1));
    all.lowest_w = std::min(all.lowest_w, phase.w.lowest(0));
    all.highest_w = std::max(all.highest_w, phase.w.highest(phase.w.outputs - 1));
  }
  if (all.highest_h < all.lowest_h) return {};  // no phase has a tap: nothing is read
  return all;
}

int64_t Correlation::scratch_floats(int64_t images, int64_t lines) const {
  if (window(0, lines_).is_inside(source_)) return 0;
  const SourceWindow first = window(0, std::min(lines, lines_));
  return images * first.h() * first.w() * source_.c;
}

Product Correlation::product(const Phase& phase, const Panel& panel, const SourceView& view, const OutputBlock& block) const {
  const int64_t out_line = out_w_ * groups_ * columns_, line_floats = phase.w.taps * depth_ * panel.width;
  Product product;
  product.walk[0] = {phase.h.taps, phase.h.tap_in * view.line, line_floats};
  if (phase.w.tap_in == 1 && groups_ == 1) {
    product.walk[2] = {phase.w.taps * depth_, 1, panel.width};
  } else {
    product.walk[1] = {phase.w.taps, phase.w.tap_in * source_.c, depth_ * panel.width};
    product.walk[2] = {depth_, 1, panel.width};
  }
  product.rows = {.lines = std::min(block.lines, phase.h.outputs - block.first_line),
                  .line_a = phase.h.in_step * view.line,
                  .line_c = phase.h.out_step * out_line,
                  .rows = phase.w.outputs,
                  .row_a = phase.w.in_step * source_.c,
                  .row_c = phase.w.out_step * groups_ * columns_};
  product.columns = panel.columns;
  return product;
}

void Correlation::run(const OutputBlock& block, const Memory& memory, const Ends& ends) const {
  const SourceWindow around = window(block.first_line, block.lines);
  const int64_t image_floats = source_.h * source_.w * source_.c, copy_floats = around.h() * around.w() * source_.c;
  const int64_t out_floats = out_h_ * out_w_ * groups_ * columns_;
  const auto image_view = [&](int64_t i) {
    return view_of(source_, around, memory.source + (block.first_image + i - memory.first_of_source) * image_floats,
                   memory.scratch + i * copy_floats);
  };
  const bool is_copied = !around.is_inside(source_);
  if (is_copied)
    for (int64_t i = 0; i < block.images; ++i) image_view(i);
  for (int64_t index = block.first_panel; index < block.first_panel + block.panels; ++index) {
    const Panel panel = this->panel(index);
    for (const Phase& phase : phases_) {
      if (phase.h.outputs <= block.first_line) continue;
      for (int64_t i = 0; i < block.images; ++i) {
        const SourceView view = is_copied ? SourceView{memory.scratch + i * copy_floats, around.w() * source_.c} : image_view(i);
        Product product = this->product(phase, panel, view, block);
        product.begin = ends.begin;
        product.rectify = ends.rectify;
        const int64_t line = phase.h.first_out + block.first_line * phase.h.out_step;
        const int64_t column = panel.group * columns_ + panel.first;
        Operands at;
        if (phase.taps() > 0)
          at.a = view.at + (phase.h.lowest(block.first_line) - around.lowest_h) * view.line +
                 (phase.w.lowest(0) - around.lowest_w) * source_.c + panel.group * depth_;
        at.b = memory.packed + panel_floats(phase, panel);
        at.c = memory.out + (block.first_image + i - memory.first_of_out) * out_floats +
               (line * out_w_ + phase.w.first_out) * groups_ * columns_ + column;
        if (ends.begin == Begin::bias) at.bias = memory.packed + packed_floats() + panel.group * padded_columns_ + panel.first;
        multiply(product, at);
      }
    }
  }
}

void Correlation::pack_bias(const float* bias, float* packed) const {
  float* to = packed + packed_floats();
  std::fill_n(to, groups_ * padded_columns_, 0.0f);
  for (int64_t group = 0; group < groups_; ++group) std::copy_n(bias + group * columns_, columns_, to + group * padded_columns_);
}

}  // namespace fovea::openmp
