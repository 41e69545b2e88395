// Convolutions as Eigen products of lowered patches (im2col), block by block and group by group, over ranges of images.
#pragma once

#include "fovea/backend/eigen/images.h"
#include "fovea/graph/op.h"

namespace fovea::eigen {

class LoweredConv2d {
 public:
  explicit LoweredConv2d(const Conv2dShape& shape) : shape_(shape) {}
  int64_t workspace_floats() const;
  std::string algorithm() const;
  void bind(float* workspace) { columns_ = workspace; }

  // x and dx of the whole batch, y and dy of the range.
  void forward(const Images& images, const float* x, const float* w, float* y) const;
  void backward_data(const Images& images, Into into, const float* dy, const float* w, float* dx) const;
  void backward_filter(const Images& images, Into into, const float* x, const float* dy, float* dw) const;

 private:
  struct Operand {
    const float* data;
    int64_t stride;
  };
  bool is_pointwise() const { return shape_.window == Window{}; }  // a patch is the pixel itself: nothing to lower
  int64_t whole_images() const;
  Operand patches(int64_t first, int64_t count, int64_t group, const float* x) const;
  template <class Body>
  void for_each_block(const Images& images, Body body) const;

  Conv2dShape shape_;
  float* columns_ = nullptr;  // the patches of a block
};

}  // namespace fovea::eigen
