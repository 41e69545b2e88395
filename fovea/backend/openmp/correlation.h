// A convolution forward, or the gradient of its input, as sums over taps of a source image: both are correlations, the second one per
// residue of the output's place modulo the stride (a phase), so that no tap of it falls between two pixels.
#pragma once

#include <vector>

#include "fovea/backend/openmp/product.h"
#include "fovea/backend/openmp/source.h"
#include "fovea/graph/op.h"

namespace fovea::openmp {

// One axis of a phase. Output i lies at first_out + i out_step and reads the source from first_in + i in_step on, tap j at j tap_in from
// there.
struct Axis {
  int64_t outputs = 1, first_out = 0, out_step = 1;
  int64_t taps = 1, first_tap = 0, tap_step = 1;  // tap j is that of the filter at first_tap + j tap_step
  int64_t first_in = 0, in_step = 1, tap_in = 1;

  int64_t lowest(int64_t i) const { return first_in + i * in_step; }
  int64_t highest(int64_t i) const { return lowest(i) + (taps - 1) * tap_in; }
};

// What a task computes: lines are those of each phase, panels those of all groups.
struct OutputBlock {
  int64_t first_image = 0, images = 1;
  int64_t first_line = 0, lines = 1;
  int64_t first_panel = 0, panels = 1;
};

// What a sum begins with and how it ends.
struct Ends {
  Begin begin = Begin::zero;
  Rectify rectify = Rectify::no;
};

class Correlation {
 public:
  static Correlation forward(const Conv2dShape& shape);
  static Correlation backward_data(const Conv2dShape& shape);

  int64_t images() const { return source_.n; }
  int64_t lines() const { return lines_; }  // of the longest phase
  int64_t panels() const { return groups_ * panels_per_group_; }
  int64_t macs() const { return shape_.macs(); }
  double useful_part() const;  // of the products that are computed: the others are with zeros around images and beside channels
  int64_t image_floats() const { return source_.h * source_.w * source_.c; }
  int64_t least_lines() const;  // of a block, so that its tiles are of a good size
  int64_t packed_floats() const { return groups_ * group_floats_; }
  int64_t bias_floats() const { return groups_ * padded_columns_; }  // behind the packed filter
  int64_t scratch_floats(int64_t images, int64_t lines) const;       // of a block of up to so many
  void pack(int threads, const float* w, float* packed) const;
  void pack_bias(const float* bias, float* packed) const;

  struct Memory {
    const float* source = nullptr;
    const float* packed = nullptr;
    float* scratch = nullptr;
    float* out = nullptr;
    int64_t first_of_out = 0, first_of_source = 0;  // the images at `out` and `source`
  };
  void run(const OutputBlock& block, const Memory& memory, const Ends& ends) const;

 private:
  enum class Direction : uint8_t { forward, backward_data };
  struct Phase {
    Axis h, w;
    int64_t first_float = 0;  // of its panels, within a group
    int64_t taps() const { return h.taps * w.taps; }
  };
  struct Panel {
    int64_t group, first, columns, width;  // out channels within the group, and with those added that fill the vector
  };
  Correlation(Direction direction, const Conv2dShape& shape);
  Panel panel(int64_t index) const;
  int64_t panel_floats(const Phase& phase, const Panel& panel) const {
    return panel.group * group_floats_ + phase.first_float + panel.first * phase.taps() * depth_;
  }
  void pack_line(const Panel& panel, const Phase& phase, int64_t tap_h, const float* w, float* to) const;
  SourceWindow window(int64_t first_line, int64_t lines) const;
  Product product(const Phase& phase, const Panel& panel, const SourceView& view, const OutputBlock& block) const;

  Direction direction_;
  Conv2dShape shape_;
  SourceShape source_;
  std::vector<Phase> phases_;
  int64_t groups_, depth_, columns_;  // of each group: channels that are read, and written
  int64_t out_h_, out_w_, lines_ = 0, panels_per_group_, padded_columns_, group_floats_;
};

}  // namespace fovea::openmp
