// The gradient of a convolution's filter: sums over all output pixels, in parts that the shape decides, which are added in a fixed order.
#pragma once

#include "fovea/backend/openmp/share.h"
#include "fovea/backend/openmp/source.h"
#include "fovea/graph/op.h"

namespace fovea::openmp {

// Lines of the output: those of all images after each other.
struct Lines {
  int64_t first = 0, count = 0;
};

enum class Sum : uint8_t { begin, go_on };

class FilterGradient {
 public:
  explicit FilterGradient(const Conv2dShape& shape, int64_t parts = 0);  // 0: as many as suit it

  int64_t parts() const { return parts_; }
  int64_t tiles() const { return shape_.groups * row_blocks_ * panels_ * tap_blocks_; }  // of a part: each is a task
  int64_t part_floats() const { return part_floats_; }
  int64_t all_parts_floats() const { return is_direct() ? 0 : whole_lines(parts_ * part_floats_); }
  int64_t scratch_floats() const;  // of a task

  struct Memory {
    const float* x = nullptr;   // of the batch
    const float* dy = nullptr;  // from line `first_of_dy` on
    int64_t first_of_dy = 0;
    float* scratch = nullptr;
    float* part = nullptr;
  };
  void run(int64_t tile, const Lines& lines, const Memory& memory, Sum sum) const;
  void reduce(int threads, Into into, float* parts, float* dw) const;  // the parts after each other; changes them

  // All of it in parallel.
  struct Whole {
    const float* x = nullptr;
    const float* dy = nullptr;
    float* dw = nullptr;
    float* parts = nullptr;    // all_parts_floats
    float* scratch = nullptr;  // scratch_floats of each thread
    int threads = 1;
  };
  void run(Into into, const Whole& whole) const;

 private:
  struct Tile;
  bool is_wide() const { return depth_ >= 12; }                // channels enough for vectors of them; else vectors hold output channels
  bool is_direct() const { return is_wide() && parts_ == 1; }  // the only part is dw itself: nothing to reduce
  Lines lines(int64_t part) const;
  void add_wide(const Tile& tile, const Lines& lines, const Memory& memory, Sum sum) const;
  void add_narrow(const Tile& tile, const Lines& lines, const Memory& memory, Sum sum) const;
  SourceWindow window(int64_t p, int64_t lines) const;
  void choose_blocks(int64_t given_parts);

  Conv2dShape shape_;
  int64_t depth_, columns_;  // of each group: input and output channels
  int64_t row_blocks_ = 1, panels_ = 1, tap_blocks_ = 1, parts_ = 1, part_floats_ = 0, lines_at_a_time_ = 1;
};

}  // namespace fovea::openmp
