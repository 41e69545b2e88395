// Activations and dropout, element by element.
#include "fovea/backend/openmp/backend.h"
#include "fovea/backend/openmp/parts.h"

namespace fovea::openmp {

KernelPtr OpenmpBackend::make(const ActivationForward& op, const Limits& limits) {
  return in_float(op.types) ? parts(op, limits) : EigenBackend::make(op, limits);
}
KernelPtr OpenmpBackend::make(const ActivationBackward& op, const Limits& limits) {
  return in_float(op.types) ? parts(op, limits) : EigenBackend::make(op, limits);
}
KernelPtr OpenmpBackend::make(const DropoutForward& op, const Limits& limits) {
  return in_float(op.types) ? parts(op, limits) : EigenBackend::make(op, limits);
}
KernelPtr OpenmpBackend::make(const DropoutBackward& op, const Limits& limits) {
  return in_float(op.forward.types) ? parts(op, limits) : EigenBackend::make(op, limits);
}

}  // namespace fovea::openmp
