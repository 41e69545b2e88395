// Batch normalisation per channel, with the statistics of the batch or with given ones.
#include "fovea/backend/openmp/batchnorm.h"

#include "fovea/backend/openmp/backend.h"

namespace fovea::openmp {
namespace {

template <class Op>
KernelPtr two_passes(const Op& op, const Limits& limits) {
  const BatchNormSplit split(op.rows, op.c);
  const auto function = [split](const Op& o, const Run& run) { run_passes(eigen::run_of(o, run.buffers), split, run); };
  return kernel("loops in two passes", op, function, threads_for(limits, op.rows * op.c), split.workspace_floats());
}

}  // namespace

KernelPtr OpenmpBackend::make(const BatchNormForward& op, const Limits& limits) {
  return in_float(op.types) ? two_passes(op, limits) : EigenBackend::make(op, limits);
}
KernelPtr OpenmpBackend::make(const BatchNormInference& op, const Limits& limits) {
  return in_float(op.types) ? parts(op, limits) : EigenBackend::make(op, limits);
}
KernelPtr OpenmpBackend::make(const BatchNormBackward& op, const Limits& limits) {
  return in_float(op.types) ? two_passes(op, limits) : EigenBackend::make(op, limits);
}

}  // namespace fovea::openmp
