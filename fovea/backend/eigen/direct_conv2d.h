// Convolutions through the direct loops: padding, packing of filters, group by group, over ranges of images.
#pragma once

#include <string>

#include "fovea/backend/eigen/direct.h"
#include "fovea/backend/eigen/images.h"

namespace fovea::eigen {

// Whether the direct loops have enough pixels in a line to fill their tiles.
bool direct_suits(const Conv2dShape& shape);
std::string direct_algorithm();

class DirectConv2dForward {
 public:
  DirectConv2dForward(const Conv2dShape& shape, Rectify rectify);
  int64_t workspace_floats() const;
  void prepare(const float* w, const float* bias, float* workspace);  // of each run; bias may be absent
  void run(const Images& images, const float* x, float* y) const;     // x of the batch, y of the range

 private:
  Conv2dShape shape_;
  Rectify rectify_;
  float* packed_ = nullptr;
  float* padded_ = nullptr;
};

class DirectConv2dFilter {
 public:
  explicit DirectConv2dFilter(const Conv2dShape& shape) : shape_(shape) {}
  int64_t workspace_floats() const;
  int64_t readable_behind_dy() const { return direct_loops().lanes * 2; }
  void prepare(float* workspace);                                         // of each run
  void run(const Images& images, const float* x, const float* dy) const;  // x of the batch, dy of the range
  void finish(Into into, float* dw) const;

 private:
  Conv2dShape shape_;
  float* packed_ = nullptr;
  float* padded_ = nullptr;
};

}  // namespace fovea::eigen
