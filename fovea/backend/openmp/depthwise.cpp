// Forward and data gradient write each line of their result once; the gradient of the filter is summed in ranges of lines.
#include "fovea/backend/openmp/depthwise.h"

#include "fovea/backend/eigen/depthwise.h"
#include "fovea/backend/openmp/parts.h"
#include "fovea/backend/openmp/sums.h"

namespace fovea::openmp {
namespace {

using eigen::DepthwiseConv2d;

// run_lines(lines, packed filter, buffers) for ranges of lines of the result.
template <class Op, class RunLines>
KernelPtr by_lines(const Op& op, int64_t lines, const Limits& limits, RunLines run_lines) {
  const DepthwiseConv2d conv2d(op.shape);
  const Split split = split_of(lines, op.shape.macs(), 256);
  const auto function = [conv2d, split, run_lines](const Op& o, const Run& run) {
    conv2d.pack(input(run.buffers, 1), run.workspace);
    parallel_for(run.threads, split.ranges(), [&](int64_t range) { run_lines(conv2d, o, split.range(range), run); });
  };
  return kernel(eigen::depthwise_algorithm(), op, function, threads_for(limits, op.shape.macs()), conv2d.filter_floats());
}

void backward_filter(const Conv2dBackwardFilter& op, const DepthwiseConv2d& conv2d, const Split& split, const Run& run) {
  const int64_t floats = aligned(conv2d.filter_floats());
  parallel_for(run.threads, split.ranges(), [&](int64_t range) {
    float* sums = run.workspace + range * floats;
    std::fill_n(sums, floats, 0.0f);
    conv2d.backward_filter(split.range(range), input(run.buffers, 0), input(run.buffers, 1), sums);
  });
  float* total = run.workspace + split.ranges() * floats;
  add_parts({conv2d.filter_floats(), split.ranges(), floats}, run.workspace, Into::overwrite, total);
  conv2d.unpack(op.into, total, output(run.buffers, 0));
}

}  // namespace

KernelPtr make_depthwise(const Conv2dForward& op, const Limits& limits) {
  return by_lines(op, op.shape.n * op.shape.p(), limits,
                  [](const DepthwiseConv2d& conv2d, const Conv2dForward&, const eigen::Range& lines, const Run& run) {
                    conv2d.forward(lines, input(run.buffers, 0), run.workspace, output(run.buffers, 0));
                  });
}

KernelPtr make_depthwise(const Conv2dBackwardData& op, const Limits& limits) {
  return by_lines(op, op.shape.n * op.shape.h, limits,
                  [](const DepthwiseConv2d& conv2d, const Conv2dBackwardData& o, const eigen::Range& lines, const Run& run) {
                    conv2d.backward_data(lines, input(run.buffers, 0), run.workspace, output(run.buffers, 0), o.into);
                  });
}

KernelPtr make_depthwise(const Conv2dBackwardFilter& op, const Limits& limits) {
  const DepthwiseConv2d conv2d(op.shape);
  const Split split = split_of(op.shape.n * op.shape.p(), op.shape.macs(), 64);
  const auto function = [conv2d, split](const Conv2dBackwardFilter& o, const Run& run) { backward_filter(o, conv2d, split, run); };
  return kernel(eigen::depthwise_algorithm(), op, function, threads_for(limits, op.shape.macs()),
                (split.ranges() + 1) * aligned(conv2d.filter_floats()));
}

}  // namespace fovea::openmp
