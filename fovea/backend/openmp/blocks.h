// How a correlation is cut into tasks: by its shape alone.
#pragma once

#include "fovea/backend/openmp/correlation.h"

namespace fovea::openmp {

// Tasks follow each other panel by panel, image by image, line by line, so that neighbours share a part of the filter.
class Blocks {
 public:
  explicit Blocks(const Correlation& correlation);
  int64_t count() const { return panel_blocks_ * image_blocks_ * line_blocks_; }
  OutputBlock block(int64_t task) const;
  int64_t scratch_floats() const { return scratch_floats_; }

 private:
  int64_t images_, lines_, panels_;  // of all
  int64_t image_blocks_ = 1, line_blocks_ = 1, panel_blocks_ = 1;
  int64_t scratch_floats_ = 0;
};

}  // namespace fovea::openmp
