// Pooling, image by image.
#include "fovea/backend/openmp/backend.h"
#include "fovea/backend/openmp/parts.h"

namespace fovea::openmp {

KernelPtr OpenmpBackend::make(const MaxPoolForward& op, const Limits& limits) {
  return in_float(op.types) ? parts(op, limits) : EigenBackend::make(op, limits);
}
KernelPtr OpenmpBackend::make(const MaxPoolBackward& op, const Limits& limits) {
  return in_float(op.types) ? parts(op, limits) : EigenBackend::make(op, limits);
}
KernelPtr OpenmpBackend::make(const AvgPoolForward& op, const Limits& limits) {
  return in_float(op.types) ? parts(op, limits) : EigenBackend::make(op, limits);
}
KernelPtr OpenmpBackend::make(const AvgPoolBackward& op, const Limits& limits) {
  return in_float(op.types) ? parts(op, limits) : EigenBackend::make(op, limits);
}

}  // namespace fovea::openmp
