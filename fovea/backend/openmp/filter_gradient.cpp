#include "fovea/backend/openmp/filter_gradient.h"

#include <algorithm>

#include "fovea/backend/openmp/parallel.h"
#include "fovea/backend/openmp/product.h"
#include "fovea/backend/openmp/share.h"
#include "fovea/backend/openmp/simd.h"
#include "fovea/backend/openmp/sums.h"

namespace fovea::openmp {
namespace {

constexpr int64_t least_macs = 65536;      // of a task
constexpr int64_t most_tasks_wanted = 32;  // parts are written and read again: no more of them than threads need
constexpr int64_t pixels_of_part = 256;    // at least, so that its sums are worth their way through memory
constexpr int64_t rows_of_block = 56;      // output channels that share what is read of x
constexpr int64_t pixels_at_a_time = 256;  // x and dy of so many stay in the first cache while the taps go over them

struct AxisShape {
  int64_t in, stride, pad, dilation;
};

// Outputs of [range.first, range.first + range.count) whose tap lies inside the image.
Lines inside(const AxisShape& axis, int64_t tap, const Lines& range) {
  const int64_t offset = tap * axis.dilation - axis.pad;
  const int64_t first = std::max(range.first, offset >= 0 ? 0 : ceil_div(-offset, axis.stride));
  const int64_t end = std::min(range.first + range.count, offset >= axis.in ? 0 : (axis.in - 1 - offset) / axis.stride + 1);
  return {first, std::max<int64_t>(end - first, 0)};
}

}  // namespace

struct FilterGradient::Tile {
  int64_t group;
  Share rows, taps;             // output channels of the group, and lines of the filter
  int64_t first, count, width;  // columns of the panel, and with those added that fill the vector
};

FilterGradient::FilterGradient(const Conv2dShape& shape, int64_t parts)
    : shape_(shape), depth_(shape.c / shape.groups), columns_(shape.k / shape.groups) {
  // A window of one pixel makes the batch one column of pixels.
  if (shape.window == Window{}) shape_.h *= shape_.n * shape_.w, shape_.n = shape_.w = 1;
  choose_blocks(parts);
}

void FilterGradient::choose_blocks(int64_t given_parts) {
  const int64_t width = 2 * lanes(), taps = shape_.window.r * shape_.window.s;
  const int64_t vector_columns = is_wide() ? depth_ : columns_, rows = is_wide() ? columns_ : 1;
  panels_ = ceil_div(vector_columns, width);
  part_floats_ = is_wide() ? shape_.k * taps * depth_ : shape_.groups * ceil_div(columns_, lanes()) * lanes() * taps * depth_;
  const int64_t wanted = std::clamp<int64_t>(shape_.macs() / least_macs, 1, most_tasks_wanted);
  const int64_t lines = shape_.n * shape_.p(), most_parts = std::clamp<int64_t>(lines * shape_.q() / pixels_of_part, 1, lines);
  row_blocks_ = ceil_div(rows, rows_of_block);
  lines_at_a_time_ = std::max<int64_t>(1, pixels_at_a_time / shape_.q());
  parts_ = given_parts;
  if (given_parts > 0) return;
  parts_ = std::min(most_parts, ceil_div(wanted, tiles()));
  row_blocks_ = std::clamp(ceil_div(wanted * row_blocks_, tiles() * parts_), row_blocks_, ceil_div(rows, rows_of_block / 4));
  tap_blocks_ = std::clamp<int64_t>(ceil_div(wanted, tiles() * parts_), 1, shape_.window.r);
}

Lines FilterGradient::lines(int64_t part) const {
  const Share range(shape_.n * shape_.p(), parts_, part);
  return {range.first, range.size};
}

SourceWindow FilterGradient::window(int64_t p, int64_t lines) const {
  const Window& w = shape_.window;
  return {p * w.stride_h - w.pad_top, (p + lines - 1) * w.stride_h - w.pad_top + (w.r - 1) * w.dilation_h, -w.pad_left,
          (shape_.q() - 1) * w.stride_w - w.pad_left + (w.s - 1) * w.dilation_w};
}

int64_t FilterGradient::scratch_floats() const {
  if (is_wide()) return 0;
  const SourceWindow most = window(0, std::min(lines_at_a_time_, shape_.p()));
  return whole_lines(std::max<int64_t>(1, lines_at_a_time_ / shape_.p()) * most.h() * most.w() * shape_.c);
}

void FilterGradient::run(int64_t index, const Lines& lines, const Memory& memory, Sum sum) const {
  const int64_t panel = index / tap_blocks_ % panels_, rest = index / tap_blocks_ / panels_, width = 2 * lanes();
  const int64_t vector_columns = is_wide() ? depth_ : columns_, first = panel * width;
  const Tile tile = {.group = rest / row_blocks_,
                     .rows = Share(is_wide() ? columns_ : 1, row_blocks_, rest % row_blocks_),
                     .taps = Share(shape_.window.r, tap_blocks_, index % tap_blocks_),
                     .first = first,
                     .count = std::min(vector_columns - first, width),
                     .width = std::min(ceil_div(vector_columns, lanes()) * lanes() - first, width)};
  const int64_t end = lines.first + lines.count, p = shape_.p();
  for (int64_t line = lines.first; line < end;) {
    const int64_t whole_images = line % p == 0 ? std::min(end - line, lines_at_a_time_) / p * p : 0;
    const int64_t count = whole_images > 0 ? whole_images : std::min({end - line, p - line % p, lines_at_a_time_});
    if (is_wide())
      add_wide(tile, {line, count}, memory, sum);
    else
      add_narrow(tile, {line, count}, memory, sum);
    sum = Sum::go_on;
    line += count;
  }
}

// dw[k][r][s][c] with vectors over c and rows over k, tap by tap. The lines are of one image, or of whole ones.
void FilterGradient::add_wide(const Tile& tile, const Lines& lines, const Memory& memory, Sum sum) const {
  const Window& window = shape_.window;
  const int64_t c = shape_.c, k = shape_.k, q = shape_.q(), taps = window.r * window.s;
  const int64_t image = lines.first / shape_.p(), top = lines.first % shape_.p(), height = std::min(lines.count, shape_.p());
  const int64_t first_k = tile.group * columns_ + tile.rows.first, first_c = tile.group * depth_ + tile.first;
  const float* x = memory.x + image * shape_.h * shape_.w * c + first_c;
  const float* dy = memory.dy + (lines.first - memory.first_of_dy) * q * k + first_k;
  Product product = {.rows = {.rows = tile.rows.size, .row_a = 1, .row_c = taps * depth_}, .columns = tile.count, .of_b = Columns::just};
  product.begin = sum == Sum::begin ? Begin::zero : Begin::c;
  product.walk[0] = {lines.count / height, shape_.p() * q * k, shape_.h * shape_.w * c};
  for (int64_t r = tile.taps.first; r < tile.taps.first + tile.taps.size; ++r) {
    const Lines p = inside({shape_.h, window.stride_h, window.pad_top, window.dilation_h}, r, {top, height});
    for (int64_t s = 0; s < window.s; ++s) {
      const Lines valid = inside({shape_.w, window.stride_w, window.pad_left, window.dilation_w}, s, {0, q});
      if (sum == Sum::go_on && (p.count == 0 || valid.count == 0)) continue;
      product.walk[1] = {p.count, q * k, window.stride_h * shape_.w * c};
      product.walk[2] = {valid.count, k, window.stride_w * c};
      const int64_t h = p.first * window.stride_h - window.pad_top + r * window.dilation_h;
      const int64_t w = valid.first * window.stride_w - window.pad_left + s * window.dilation_w;
      multiply(product, {.a = dy + ((p.first - top) * q + valid.first) * k,
                         .b = x + (h * shape_.w + w) * c,
                         .c = memory.part + (first_k * taps + r * window.s + s) * depth_ + tile.first});
    }
  }
}

// The same with vectors over k and rows over s and c, or c alone where those of a line are apart: panels of (r, s, c, width).
void FilterGradient::add_narrow(const Tile& tile, const Lines& lines, const Memory& memory, Sum sum) const {
  const Window& window = shape_.window;
  const int64_t c = shape_.c, k = shape_.k, q = shape_.q(), taps = window.r * window.s;
  const int64_t image = lines.first / shape_.p(), top = lines.first % shape_.p(), height = std::min(lines.count, shape_.p());
  const int64_t images = lines.count / height, image_floats = shape_.h * shape_.w * c;
  const SourceWindow around = this->window(top, height);
  const SourceShape source = {shape_.n, shape_.h, shape_.w, c};
  const int64_t copy_floats = around.h() * around.w() * c;
  for (int64_t i = 1; i < images; ++i) view_of(source, around, memory.x + (image + i) * image_floats, memory.scratch + i * copy_floats);
  const SourceView view = view_of(source, around, memory.x + image * image_floats, memory.scratch);
  const bool joined = window.dilation_w == 1 && shape_.groups == 1;
  const int64_t run = joined ? window.s * depth_ : depth_;
  float* panel = memory.part + tile.group * (part_floats_ / shape_.groups) + tile.first * taps * depth_;
  Product product = {.rows = {.lines = tile.taps.size,
                              .line_a = window.dilation_h * view.line,
                              .line_c = window.s * depth_ * tile.width,
                              .rows = run,
                              .row_a = 1,
                              .row_c = tile.width},
                     .columns = tile.count,
                     .of_b = Columns::just};
  product.walk[0] = {images, around.is_inside(source) ? image_floats : copy_floats, shape_.p() * q * k};
  product.walk[1] = {height, window.stride_h * view.line, q * k};
  product.walk[2] = {q, window.stride_w * c, k};
  product.begin = sum == Sum::begin ? Begin::zero : Begin::c;
  for (int64_t s = 0; s < window.s; s += joined ? window.s : 1)
    multiply(product, {.a = view.at + tile.taps.first * window.dilation_h * view.line + s * window.dilation_w * c + tile.group * depth_,
                       .b = memory.dy + (lines.first - memory.first_of_dy) * q * k + tile.group * columns_ + tile.first,
                       .c = panel + (tile.taps.first * window.s + s) * depth_ * tile.width});
}

void FilterGradient::run(Into into, const Whole& whole) const {
  float* parts = is_direct() ? whole.dw : whole.parts;
  const Sum sum = is_direct() && into == Into::add ? Sum::go_on : Sum::begin;
  parallel_for(whole.threads, parts_ * tiles(), [&](int64_t task, int worker) {
    const int64_t part = task / tiles();
    run(task % tiles(), lines(part),
        {.x = whole.x, .dy = whole.dy, .scratch = whole.scratch + worker * scratch_floats(), .part = parts + part * part_floats_}, sum);
  });
  if (!is_direct()) reduce(whole.threads, into, parts, whole.dw);
}

void FilterGradient::reduce(int threads, Into into, float* parts, float* dw) const {
  if (is_wide()) {
    constexpr int64_t block = 2048;
    parallel_for(threads, ceil_div(part_floats_, block), [&](int64_t task) {
      const int64_t first = task * block;
      add_parts({.count = std::min(block, part_floats_ - first), .parts = parts_, .stride = part_floats_}, parts + first, into, dw + first);
    });
    return;
  }
  const int64_t taps = shape_.window.r * shape_.window.s * depth_, padded = ceil_div(columns_, lanes()) * lanes(), width = 2 * lanes();
  constexpr int64_t taps_at_a_time = 32;
  const int64_t blocks = ceil_div(taps, taps_at_a_time);
  parallel_for(threads, shape_.groups * panels_ * blocks, [&](int64_t task) {
    const int64_t first = task / blocks % panels_ * width, group = task / blocks / panels_, first_tap = task % blocks * taps_at_a_time;
    const int64_t panel = std::min(padded - first, width), columns = std::min(columns_ - first, width);
    const int64_t count = std::min(taps_at_a_time, taps - first_tap);
    float* from = parts + (group * padded + first) * taps + first_tap * panel;
    if (parts_ > 1) add_parts({.count = count * panel, .parts = parts_ - 1, .stride = part_floats_}, from + part_floats_, Into::add, from);
    for (int64_t j = 0; j < columns; ++j) {
      float* to = dw + (group * columns_ + first + j) * taps + first_tap;
      for (int64_t tap = 0; tap < count; ++tap) to[tap] = (into == Into::add ? to[tap] : 0.0f) + from[tap * panel + j];
    }
  });
}

}  // namespace fovea::openmp
