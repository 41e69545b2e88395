// Convolutions: the filter is packed once per step, then blocks of the output are computed in parallel; the gradient of the filter in
// parts.
#include <fmt/format.h>

#include "fovea/backend/eigen/depthwise.h"
#include "fovea/backend/openmp/backend.h"
#include "fovea/backend/openmp/blocks.h"
#include "fovea/backend/openmp/data_gradient.h"
#include "fovea/backend/openmp/depthwise.h"
#include "fovea/backend/openmp/filter_gradient.h"
#include "fovea/backend/openmp/kernel.h"
#include "fovea/backend/openmp/parallel.h"
#include "fovea/backend/openmp/simd.h"

namespace fovea::openmp {
namespace {

std::string packed_algorithm() { return fmt::format("packed filter, direct ({})", isa()); }

struct Forward {
  explicit Forward(const Conv2dShape& shape) : correlation(Correlation::forward(shape)), blocks(correlation) {}

  void operator()(const Conv2dForward&, const Run& run) const {
    float* scratch = run.workspace + correlation.packed_floats();
    correlation.pack(run.threads, input(run.buffers, 1), run.workspace);
    parallel_for(run.threads, blocks.count(), [&](int64_t task, int worker) {
      float* own = scratch + worker * blocks.scratch_floats();
      correlation.run(blocks.block(task), {input(run.buffers, 0), run.workspace, own, output(run.buffers, 0)}, {});
    });
  }

  Correlation correlation;
  Blocks blocks;
};

}  // namespace

KernelPtr OpenmpBackend::make(const Conv2dForward& op, const Limits& limits) {
  if (!in_float(op.types)) return EigenBackend::make(op, limits);
  if (eigen::depthwise_suits(op.shape)) return make_depthwise(op, limits);
  const Forward forward(op.shape);
  const int threads = threads_for(limits, op.shape.macs());
  return kernel(packed_algorithm(), op, forward, threads, forward.correlation.packed_floats() + threads * forward.blocks.scratch_floats());
}

KernelPtr OpenmpBackend::make(const Conv2dBackwardData& op, const Limits& limits) {
  if (!in_float(op.types)) return EigenBackend::make(op, limits);
  if (eigen::depthwise_suits(op.shape)) return make_depthwise(op, limits);
  const DataGradient gradient(op.shape);
  const int threads = threads_for(limits, op.shape.macs());
  const auto function = [gradient](const Conv2dBackwardData& data, const Run& run) {
    gradient.run(run.threads,
                 {.dy = input(run.buffers, 0),
                  .w = input(run.buffers, 1),
                  .packed = run.workspace,
                  .scratch = run.workspace + gradient.packed_floats(),
                  .dx = output(run.buffers, 0)},
                 data.into);
  };
  return kernel(gradient.algorithm(), op, function, threads, gradient.packed_floats() + threads * gradient.scratch_floats());
}

KernelPtr OpenmpBackend::make(const Conv2dBackwardFilter& op, const Limits& limits) {
  if (!in_float(op.types)) return EigenBackend::make(op, limits);
  if (eigen::depthwise_suits(op.shape)) return make_depthwise(op, limits);
  const FilterGradient gradient(op.shape);
  const int threads = threads_for(limits, op.shape.macs());
  const auto function = [gradient](const Conv2dBackwardFilter& filter, const Run& run) {
    gradient.run(filter.into, {.x = input(run.buffers, 0),
                               .dy = input(run.buffers, 1),
                               .dw = output(run.buffers, 0),
                               .parts = run.workspace,
                               .scratch = run.workspace + gradient.all_parts_floats(),
                               .threads = run.threads});
  };
  return kernel(fmt::format("direct, {} part{} ({})", gradient.parts(), gradient.parts() == 1 ? "" : "s", isa()), op, function, threads,
                gradient.all_parts_floats() + threads * gradient.scratch_floats());
}

}  // namespace fovea::openmp
