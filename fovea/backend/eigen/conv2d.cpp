// Convolutions: loops over planes where each channel has its own filter, direct loops where lines are long enough for them, else (and for
// the gradient of the data) Eigen products of lowered patches.
#include <algorithm>

#include "fovea/backend/eigen/backend.h"
#include "fovea/backend/eigen/depthwise.h"
#include "fovea/backend/eigen/direct_conv2d.h"
#include "fovea/backend/eigen/kernel.h"
#include "fovea/backend/eigen/lowered_conv2d.h"

namespace fovea::eigen {
namespace {

Images all(const Conv2dShape& shape) { return {0, shape.n}; }

LoweredConv2d lowered(const Conv2dShape& shape, void* workspace) {
  LoweredConv2d conv2d(shape);
  conv2d.bind(static_cast<float*>(workspace));
  return conv2d;
}

void lowered_forward(const Conv2dForward& op, const Buffers& buffers, void* workspace) {
  lowered(op.shape, workspace).forward(all(op.shape), input(buffers, 0), input(buffers, 1), output(buffers, 0));
}
void lowered_data(const Conv2dBackwardData& op, const Buffers& buffers, void* workspace) {
  lowered(op.shape, workspace).backward_data(all(op.shape), op.into, input(buffers, 0), input(buffers, 1), output(buffers, 0));
}
void lowered_filter(const Conv2dBackwardFilter& op, const Buffers& buffers, void* workspace) {
  lowered(op.shape, workspace).backward_filter(all(op.shape), op.into, input(buffers, 0), input(buffers, 1), output(buffers, 0));
}

void direct_forward(const Conv2dForward& op, const Buffers& buffers, void* workspace) {
  DirectConv2dForward direct(op.shape, Rectify::no);
  direct.prepare(input(buffers, 1), nullptr, static_cast<float*>(workspace));
  direct.run(all(op.shape), input(buffers, 0), output(buffers, 0));
}

// The last images of dy are copied, so that whole vectors can be read behind them.
void direct_filter(const Conv2dBackwardFilter& op, const Buffers& buffers, void* workspace) {
  const Conv2dShape& shape = op.shape;
  DirectConv2dFilter direct(shape);
  direct.prepare(static_cast<float*>(workspace));
  float* last = static_cast<float*>(workspace) + direct.workspace_floats();
  for_each_images(shape, [&](const Images& images) {
    const float* dy = input(buffers, 1) + images.first * output_floats(shape);
    if (images.first + images.count == shape.n) {
      std::copy_n(dy, images.count * output_floats(shape), last);
      std::fill_n(last + images.count * output_floats(shape), direct.readable_behind_dy(), 0.0f);
      dy = last;
    }
    direct.run(images, input(buffers, 0), dy);
  });
  direct.finish(op.into, output(buffers, 0));
}

int64_t direct_filter_floats(const Conv2dShape& shape) {
  const DirectConv2dFilter direct(shape);
  return direct.workspace_floats() + images_at_a_time(shape) * output_floats(shape) + direct.readable_behind_dy();
}

// ---- one filter for each channel; the workspace has them packed ----

template <class Op, class Run>
KernelPtr depthwise_kernel(const Op& op, Run run) {
  const DepthwiseConv2d conv2d(op.shape);
  const int64_t floats = conv2d.filter_floats();
  const auto function = [conv2d, run](const Op& o, const Buffers& buffers, void* workspace) {
    run(conv2d, o, buffers, static_cast<float*>(workspace));
  };
  return kernel(depthwise_algorithm(), op, function, floats);
}

void depthwise_forward(const DepthwiseConv2d& conv2d, const Conv2dForward& op, const Buffers& buffers, float* packed) {
  conv2d.pack(input(buffers, 1), packed);
  conv2d.forward({0, op.shape.n * op.shape.p()}, input(buffers, 0), packed, output(buffers, 0));
}
void depthwise_data(const DepthwiseConv2d& conv2d, const Conv2dBackwardData& op, const Buffers& buffers, float* packed) {
  conv2d.pack(input(buffers, 1), packed);
  conv2d.backward_data({0, op.shape.n * op.shape.h}, input(buffers, 0), packed, output(buffers, 0), op.into);
}
void depthwise_filter(const DepthwiseConv2d& conv2d, const Conv2dBackwardFilter& op, const Buffers& buffers, float* packed) {
  std::fill_n(packed, conv2d.filter_floats(), 0.0f);
  conv2d.backward_filter({0, op.shape.n * op.shape.p()}, input(buffers, 0), input(buffers, 1), packed);
  conv2d.unpack(op.into, packed, output(buffers, 0));
}

}  // namespace

KernelPtr EigenBackend::make(const Conv2dForward& op, const Limits& limits) {
  if (!in_float(op.types)) return ReferenceBackend::make(op, limits);
  if (depthwise_suits(op.shape)) return depthwise_kernel(op, depthwise_forward);
  if (direct_suits(op.shape))
    return kernel(direct_algorithm(), op, direct_forward, DirectConv2dForward(op.shape, Rectify::no).workspace_floats());
  const LoweredConv2d lowered(op.shape);
  return kernel(lowered.algorithm(), op, lowered_forward, lowered.workspace_floats());
}
KernelPtr EigenBackend::make(const Conv2dBackwardData& op, const Limits& limits) {
  if (!in_float(op.types)) return ReferenceBackend::make(op, limits);
  if (depthwise_suits(op.shape)) return depthwise_kernel(op, depthwise_data);
  const LoweredConv2d lowered(op.shape);
  return kernel(lowered.algorithm(), op, lowered_data, lowered.workspace_floats());
}
KernelPtr EigenBackend::make(const Conv2dBackwardFilter& op, const Limits& limits) {
  if (!in_float(op.types)) return ReferenceBackend::make(op, limits);
  if (depthwise_suits(op.shape)) return depthwise_kernel(op, depthwise_filter);
  if (direct_suits(op.shape)) return kernel(direct_algorithm(), op, direct_filter, direct_filter_floats(op.shape));
  const LoweredConv2d lowered(op.shape);
  return kernel(lowered.algorithm(), op, lowered_filter, lowered.workspace_floats());
}

}  // namespace fovea::eigen
