// The optimisers over ranges of all parameters, and the norm of their gradients.
#include <atomic>
#include <cmath>

#include "fovea/backend/eigen/sums.h"
#include "fovea/backend/openmp/backend.h"
#include "fovea/backend/openmp/parts.h"

namespace fovea::openmp {
namespace {

// The sums of ranges of elements lie in the workspace, then are added in their order.
void gradient_norm(const GradientNorm& op, const Split& split, const Run& run) {
  double* of_range = reinterpret_cast<double*>(run.workspace);
  parallel_for(run.threads, split.ranges(),
               [&](int64_t range) { of_range[range] = eigen::sum_of_squares(op, split.range(range), run.buffers); });
  double sum = 0;
  for (int64_t range = 0; range < split.ranges(); ++range) sum += of_range[range];
  *output(run.buffers, 0) = static_cast<float>(std::sqrt(sum));
}

// First all gradients are looked at, then all parameters move.
void update(const Update& op, const Split& split, const Run& run) {
  std::atomic<Gradients> gradients = Gradients::finite;
  parallel_for(run.threads, split.ranges(), [&](int64_t range) {
    if (eigen::gradients_of(op, split.range(range), run.buffers) == Gradients::non_finite) gradients = Gradients::non_finite;
  });
  const Buffers& buffers = run.buffers;
  StepControl& control = buffers.in[0].as_struct<StepControl>();
  if (may_update(gradients, control, buffers.in[1].as_struct<Metrics>()))
    parallel_for(run.threads, split.ranges(), [&](int64_t range) { eigen::run_part(op, split.range(range), buffers, nullptr); });
  move_on(op, control);
}

}  // namespace

KernelPtr OpenmpBackend::make(const GradientNorm& op, const Limits& limits) {
  if (!in_float(op.types)) return EigenBackend::make(op, limits);
  const int64_t elements = eigen::elements_of(op);
  const Split split = split_of(elements, elements, 256);
  const auto function = [split](const GradientNorm& o, const Run& run) { gradient_norm(o, split, run); };
  return kernel("loops", op, function, threads_for(limits, elements), 2 * split.ranges());
}
KernelPtr OpenmpBackend::make(const Update& op, const Limits& limits) {
  if (!in_float(op.types)) return EigenBackend::make(op, limits);
  const eigen::Units units = eigen::units_of(op);
  const int64_t work = units.count * units.floats;
  const Split split = split_of(units.count, work, 256);
  const auto function = [split](const Update& o, const Run& run) { update(o, split, run); };
  return kernel("loops", op, function, static_cast<int>(std::min<int64_t>(threads_for(limits, work), split.ranges())));
}

}  // namespace fovea::openmp
