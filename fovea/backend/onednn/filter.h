// Filters between (k, r, s, c), as they are outside, and the layouts that primitives wish.
#pragma once

#include "fovea/backend/onednn/primitive.h"

namespace fovea::onednn {

enum class Direction : uint8_t { pack, unpack };

// In slices of filters, each a task, where the primitive's layout can be cut.
class FilterReorder {
 public:
  FilterReorder(const Conv2dShape& shape, DType dtype, const Desc& packed, Direction direction, Into into = Into::overwrite);
  int64_t tasks() const { return std::ssize(slices_); }
  size_t scratch_bytes() const;
  void bind(void* from, void* to, void* scratch);
  void run(int64_t task) const;

 private:
  struct Slice {
    Desc from, to;
    Primitive reorder;
    dnnl::memory bound_from, bound_to, scratch;
  };
  std::vector<Slice> slices_;
};

}  // namespace fovea::onednn
