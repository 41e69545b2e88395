// The bias of every layer.
#include "fovea/backend/eigen/column_sums.h"
#include "fovea/backend/openmp/backend.h"
#include "fovea/backend/openmp/parts.h"

namespace fovea::openmp {
namespace {

// The sums of ranges of rows lie in the workspace, then are added in their order.
void bias_backward(const BiasBackward& op, const Split& split, const Run& run) {
  const int64_t floats = aligned(eigen::ColumnSums(op.k).workspace_floats());
  const auto sums_of = [&](int64_t range) { return eigen::ColumnSums(op.k, run.workspace + range * floats); };
  parallel_for(run.threads, split.ranges(), [&](int64_t i) {
    const eigen::Range rows = split.range(i);
    eigen::ColumnSums sums = sums_of(i);
    sums.clear();
    sums.add(rows.count, input(run.buffers, 0) + rows.first * op.k);
  });
  eigen::ColumnSums total = sums_of(0);
  for (int64_t range = 1; range < split.ranges(); ++range) total.add(sums_of(range));
  total.finish(op.into, output(run.buffers, 0));
}

}  // namespace

KernelPtr OpenmpBackend::make(const BiasForward& op, const Limits& limits) {
  return in_float(op.types) ? parts(op, limits) : EigenBackend::make(op, limits);
}
KernelPtr OpenmpBackend::make(const BiasBackward& op, const Limits& limits) {
  if (!in_float(op.types)) return EigenBackend::make(op, limits);
  const int64_t work = op.rows * op.k;
  const Split split = split_of(op.rows, work, 64);
  const auto function = [split](const BiasBackward& o, const Run& run) { bias_backward(o, split, run); };
  return kernel("loops", op, function, threads_for(limits, work), split.ranges() * aligned(eigen::ColumnSums(op.k).workspace_floats()));
}

}  // namespace fovea::openmp
