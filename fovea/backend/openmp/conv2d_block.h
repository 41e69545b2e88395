// A convolution as one step with what surrounds it. Where parts of it fit the cache, each task takes all of it for some images; else the
// whole batch goes from phase to phase.
#pragma once

#include "fovea/backend/eigen/conv2d_block.h"

namespace fovea::openmp {

class Conv2dBlocks final : public eigen::Conv2dBlocks {
 public:
  bool suits(const eigen::Conv2dBlockForward& block) const override;
  bool suits(const eigen::Conv2dBlockBackward& block) const override;
  KernelPtr make(const eigen::Conv2dBlockForward& block, const Limits& limits) const override;
  KernelPtr make(const eigen::Conv2dBlockBackward& block, const Limits& limits) const override;
};

}  // namespace fovea::openmp
