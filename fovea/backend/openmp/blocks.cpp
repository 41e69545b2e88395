#include "fovea/backend/openmp/blocks.h"

#include <algorithm>

#include "fovea/backend/openmp/share.h"

namespace fovea::openmp {
namespace {

constexpr int64_t least_macs = 32768;      // of a task
constexpr int64_t most_tasks_wanted = 64;  // so that the last ones of many threads end together
constexpr int64_t source_floats = 49152;   // of a task: with its part of the filter it stays in the second cache
constexpr int64_t filter_floats = 196608;

}  // namespace

Blocks::Blocks(const Correlation& correlation) : images_(correlation.images()), lines_(correlation.lines()), panels_(correlation.panels()) {
  const int64_t wanted = std::clamp<int64_t>(correlation.macs() / least_macs, 1, most_tasks_wanted);
  const int64_t most_line_blocks = std::max<int64_t>(1, lines_ / correlation.least_lines());
  const int64_t image_floats = correlation.image_floats();
  panel_blocks_ = std::clamp<int64_t>(ceil_div(correlation.packed_floats(), filter_floats), 1, panels_);
  line_blocks_ = std::clamp<int64_t>(ceil_div(image_floats, source_floats), 1, most_line_blocks);
  line_blocks_ = std::clamp(ceil_div(wanted, images_ * panel_blocks_), line_blocks_, most_line_blocks);
  panel_blocks_ = std::clamp(ceil_div(wanted, images_ * line_blocks_), panel_blocks_, panels_);
  image_blocks_ = images_;
  if (line_blocks_ == 1) {
    const int64_t at_a_time =
        std::min(std::max<int64_t>(1, source_floats / image_floats), std::max<int64_t>(1, images_ * panel_blocks_ / wanted));
    image_blocks_ = ceil_div(images_, at_a_time);
  }
  const int64_t floats = correlation.scratch_floats(ceil_div(images_, image_blocks_), ceil_div(lines_, line_blocks_));
  scratch_floats_ = whole_lines(floats);
}

OutputBlock Blocks::block(int64_t task) const {
  const Share lines(lines_, line_blocks_, task % line_blocks_);
  const Share images(images_, image_blocks_, task / line_blocks_ % image_blocks_);
  const Share panels(panels_, panel_blocks_, task / line_blocks_ / image_blocks_);
  return {images.first, images.size, lines.first, lines.size, panels.first, panels.size};
}

}  // namespace fovea::openmp
