// From stored pixels to a normalised batch, image by image, and from one layout to the other.
#include "fovea/backend/openmp/backend.h"
#include "fovea/backend/openmp/parts.h"

namespace fovea::openmp {

KernelPtr OpenmpBackend::make(const Augment& op, const Limits& limits) {
  return eigen::has_loops(op) ? parts(op, limits) : EigenBackend::make(op, limits);
}
KernelPtr OpenmpBackend::make(const Reorder& op, const Limits& limits) {
  return eigen::has_loops(op) ? parts(op, limits) : EigenBackend::make(op, limits);
}

}  // namespace fovea::openmp
