// Convolutions: the filter is packed once per step, then blocks of the output are computed in parallel; the gradient of the filter in
// parts.
#include <fmt/format.h>

#include "fovea/backend/eigen/depthwise.h"
#include "fovea/backend/openmp/backend.h"
#include "fovea/backend/openmp/blocks.h"
#include "fovea/backend/openmp/depthwise.h"
#include "fovea/backend/openmp/filter_gradient.h"
#include "fovea/backend/openmp/kernel.h"
#include "fovea/backend/openmp/parallel.h"
#include "fovea/backend/openmp/simd.h"

namespace fovea::openmp {
namespace {

struct Conv2d {
  Correlation correlation;
  Blocks blocks;
  Begin begin;
};

// in: source, w   out: result
void run_conv2d(const Conv2d& conv2d, const Run& run) {
  const Correlation& correlation = conv2d.correlation;
  float* packed = run.workspace;
  float* scratch = packed + correlation.packed_floats();
  correlation.pack(run.threads, input(run.buffers, 1), packed);
  parallel_for(run.threads, conv2d.blocks.count(), [&](int64_t task, int worker) {
    float* own = scratch + worker * conv2d.blocks.scratch_floats();
    correlation.run(conv2d.blocks.block(task), {input(run.buffers, 0), packed, own, output(run.buffers, 0)}, {conv2d.begin});
  });
}

KernelPtr make_conv2d(const Correlation& correlation, Into into, const Limits& limits) {
  const Conv2d conv2d = {correlation, Blocks(correlation), into == Into::add ? Begin::c : Begin::zero};
  const int threads = threads_for(limits, correlation.macs());
  return kernel(fmt::format("packed filter, direct ({})", isa()), conv2d, run_conv2d, threads,
                correlation.packed_floats() + threads * conv2d.blocks.scratch_floats());
}

}  // namespace

KernelPtr OpenmpBackend::make(const Conv2dForward& op, const Limits& limits) {
  if (!in_float(op.types)) return EigenBackend::make(op, limits);
  if (eigen::depthwise_suits(op.shape)) return make_depthwise(op, limits);
  return make_conv2d(Correlation::forward(op.shape), Into::overwrite, limits);
}

KernelPtr OpenmpBackend::make(const Conv2dBackwardData& op, const Limits& limits) {
  if (!in_float(op.types)) return EigenBackend::make(op, limits);
  if (eigen::depthwise_suits(op.shape)) return make_depthwise(op, limits);
  return make_conv2d(Correlation::backward_data(op.shape), op.into, limits);
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
