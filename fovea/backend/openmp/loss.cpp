// Losses per image and their gradients, and the score of a batch.
#include "fovea/backend/eigen/sums.h"
#include "fovea/backend/openmp/backend.h"
#include "fovea/backend/openmp/parts.h"

namespace fovea::openmp {
namespace {

// The scores of ranges of images lie in the workspace, then are added in their order.
void score(const Score& op, const Split& split, const Run& run) {
  Metrics* of_range = reinterpret_cast<Metrics*>(run.workspace);
  parallel_for(run.threads, split.ranges(), [&](int64_t range) {
    of_range[range] = {};
    eigen::add_scores(op, split.range(range), run.buffers, of_range[range]);
  });
  Metrics& metrics = run.buffers.out[0].as_struct<Metrics>();
  for (int64_t range = 0; range < split.ranges(); ++range) {
    metrics.loss_sum += of_range[range].loss_sum;
    metrics.counted += of_range[range].counted;
    metrics.correct += of_range[range].correct;
    metrics.non_finite += of_range[range].non_finite;
  }
}

}  // namespace

KernelPtr OpenmpBackend::make(const SoftmaxCrossEntropyForward& op, const Limits& limits) {
  return in_float(op.types) ? parts(op, limits) : EigenBackend::make(op, limits);
}
KernelPtr OpenmpBackend::make(const SoftmaxCrossEntropyBackward& op, const Limits& limits) {
  return in_float(op.forward.types) ? parts(op, limits) : EigenBackend::make(op, limits);
}
KernelPtr OpenmpBackend::make(const BinaryCrossEntropyForward& op, const Limits& limits) {
  return in_float(op.types) ? parts(op, limits) : EigenBackend::make(op, limits);
}
KernelPtr OpenmpBackend::make(const BinaryCrossEntropyBackward& op, const Limits& limits) {
  return in_float(op.forward.types) ? parts(op, limits) : EigenBackend::make(op, limits);
}
KernelPtr OpenmpBackend::make(const Score& op, const Limits& limits) {
  if (!in_float(op.types)) return EigenBackend::make(op, limits);
  const int64_t work = op.n * (2 * op.k + 4);
  const Split split = split_of(op.n, work, 64);
  const auto function = [split](const Score& o, const Run& run) { score(o, split, run); };
  return kernel("loops", op, function, threads_for(limits, work), split.ranges() * static_cast<int64_t>(sizeof(Metrics) / sizeof(float)));
}

}  // namespace fovea::openmp
