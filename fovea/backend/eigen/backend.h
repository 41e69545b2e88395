// The sequential baseline: im2col and Eigen matrix products, plain vectorisable loops, one thread, float. What it has not is the parent's.
#pragma once

#include "fovea/backend/reference/backend.h"

namespace fovea::eigen {

class EigenBackend : public reference::ReferenceBackend {
 public:
  std::string_view name() const override { return "eigen"; }

  using ReferenceBackend::make;
};

}  // namespace fovea::eigen
