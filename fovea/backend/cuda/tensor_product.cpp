#include "fovea/backend/cuda/tensor_product.h"

#include <numeric>

namespace fovea::cuda {
namespace {

int narrow(int64_t value) { return static_cast<int>(value); }

// Along one axis: which taps reach the pixels `phase`, phase + stride, ... of an image, and from which outputs.
struct Reach {
  int taps = 0, first = 0, step = 1;  // of the filter, from the one that reads the furthest output back
  int lower = 0, dilation = 1;        // of the outputs
  int count = 0;                      // pixels
};

struct Axis {
  int64_t size, pad, taps, stride, dilation;
};

Reach reach_of(const Axis& axis, int64_t phase) {
  Reach reach{.count = narrow((axis.size - phase + axis.stride - 1) / axis.stride)};
  int64_t last = -1;
  for (int64_t r = 0; r < axis.taps; ++r) {
    if ((phase + axis.pad - r * axis.dilation) % axis.stride != 0) continue;
    ++reach.taps;
    last = r;
  }
  if (reach.taps == 0) return reach;
  const int64_t step = axis.stride / std::gcd(axis.stride, axis.dilation);
  reach.step = narrow(-step);
  reach.first = narrow(last);
  reach.lower = narrow((phase + axis.pad - last * axis.dilation) / axis.stride);
  reach.dilation = narrow(step * axis.dilation / axis.stride);
  return reach;
}

}  // namespace

PatchProduct forward_product(const Conv2dShape& shape) {
  const Window& window = shape.window;
  return {.windows = {.n = narrow(shape.n),
                      .h = narrow(shape.h),
                      .w = narrow(shape.w),
                      .c = narrow(shape.c),
                      .p = narrow(shape.p()),
                      .q = narrow(shape.q()),
                      .stride_h = narrow(window.stride_h),
                      .stride_w = narrow(window.stride_w),
                      .lower_h = narrow(-window.pad_top),
                      .lower_w = narrow(-window.pad_left)},
          .r = narrow(window.r),
          .s = narrow(window.s),
          .dilation_h = narrow(window.dilation_h),
          .dilation_w = narrow(window.dilation_w),
          .tap_r = narrow(window.s),
          .taps = narrow(window.r * window.s),
          .m = narrow(shape.k),
          .places = {.h = narrow(shape.p()), .w = narrow(shape.q())}};
}

std::vector<PatchProduct> data_products(const Conv2dShape& shape) {
  const Window& window = shape.window;
  std::vector<PatchProduct> products;
  for (int64_t phase_h = 0; phase_h < std::min(window.stride_h, shape.h); ++phase_h)
    for (int64_t phase_w = 0; phase_w < std::min(window.stride_w, shape.w); ++phase_w) {
      const Reach rows = reach_of({shape.h, window.pad_top, window.r, window.stride_h, window.dilation_h}, phase_h);
      const Reach columns = reach_of({shape.w, window.pad_left, window.s, window.stride_w, window.dilation_w}, phase_w);
      const bool reached = rows.taps > 0 && columns.taps > 0;
      products.push_back({.windows = {.n = narrow(shape.n),
                                      .h = narrow(shape.p()),
                                      .w = narrow(shape.q()),
                                      .c = narrow(shape.k),
                                      .p = rows.count,
                                      .q = columns.count,
                                      .lower_h = rows.lower,
                                      .lower_w = columns.lower},
                          .r = reached ? rows.taps : 0,
                          .s = reached ? columns.taps : 0,
                          .dilation_h = rows.dilation,
                          .dilation_w = columns.dilation,
                          .first_tap = rows.first * narrow(window.s) + columns.first,
                          .tap_r = rows.step * narrow(window.s),
                          .tap_s = columns.step,
                          .taps = narrow(window.r * window.s),
                          .m = narrow(shape.c),
                          .filter = PatchProduct::Filter::by_input,
                          .places = {.h = narrow(shape.h),
                                     .w = narrow(shape.w),
                                     .step_h = narrow(window.stride_h),
                                     .step_w = narrow(window.stride_w),
                                     .first_h = narrow(phase_h),
                                     .first_w = narrow(phase_w)}});
    }
  return products;
}

FilterProduct filter_product(const Conv2dShape& shape) {
  const PatchProduct forward = forward_product(shape);
  return {.windows = forward.windows,
          .r = forward.r,
          .s = forward.s,
          .dilation_h = forward.dilation_h,
          .dilation_w = forward.dilation_w,
          .k = forward.m};
}

bool suits_tensor_cores(const Conv2dShape& shape, const Types& types) {
  const auto of_current_device = [](cudaDeviceAttr attribute) {
    int value = 0;
    check_cuda(cudaDeviceGetAttribute(&value, attribute, 0), "cudaDeviceGetAttribute");
    return value;
  };
  static const bool has_instructions = of_current_device(cudaDevAttrComputeCapabilityMajor) == 9;
  return has_instructions && is_small_float(types.x) && types.y == types.x && types.accumulator == DType::f32 && shape.groups == 1 &&
         shape.c % 8 == 0 && shape.k % 8 == 0;
}

bool can_be_fetched(const Windows& windows, int r, int s, int dilation_h, int dilation_w) {
  return windows.count() <= largest_count && can_be_mapped(windows) && dilation_h * (r - 1) <= 255 && dilation_w * (s - 1) <= 255;
}

namespace {

// A linear layer is a convolution of images of one pixel.
Conv2dShape conv2d_of(const LinearShape& shape) { return {.n = shape.n, .c = shape.c, .k = shape.k}; }

}  // namespace

KernelPtr on_tensor_cores(const Conv2dForward& op) {
  if (KernelPtr kernel = direct_on_tensor_cores(op, {})) return kernel;
  if (suits_tensor_cores(op.shape, op.types)) return patch_kernel({forward_product(op.shape)}, op.types.x, {});
  return packed_on_tensor_cores(op, {});
}
KernelPtr on_tensor_cores_with_bias(const Conv2dForward& op, std::optional<Activation> activation) {
  if (activation && *activation != Activation::relu) return nullptr;
  const Ends ends = {.bias = true, .relu = activation.has_value()};
  if (KernelPtr kernel = direct_on_tensor_cores(op, ends)) return kernel;
  if (suits_tensor_cores(op.shape, op.types)) return patch_kernel({forward_product(op.shape)}, op.types.x, ends);
  return packed_on_tensor_cores(op, ends);
}
MomentsOfTiles on_tensor_cores_with_moments(const Conv2dForward& op) {
  if (MomentsOfTiles direct = direct_with_moments(op); direct.kernel != nullptr) return direct;
  if (!suits_tensor_cores(op.shape, op.types) || direct_on_tensor_cores(op, {})) return {};
  const PatchProduct product = forward_product(op.shape);
  const std::optional<Deal> deal = whole_tiles(product, {.moments = true});
  if (!deal) return {};
  return {patch_kernel({product}, op.types.x, {.moments = true}), *deal};
}
KernelPtr on_tensor_cores(const Conv2dBackwardData& op) {
  if (KernelPtr kernel = direct_on_tensor_cores(op)) return kernel;
  if (!suits_tensor_cores(op.shape, op.types)) return nullptr;
  return patch_kernel(data_products(op.shape), op.types.x, {.into = op.into});
}
KernelPtr on_tensor_cores_with_relu(const Conv2dBackwardData& op) {
  if (op.into != Into::add || !suits_tensor_cores(op.shape, op.types)) return nullptr;
  return patch_kernel(data_products(op.shape), op.types.x, {.into = Into::add, .relu_behind = true});
}
KernelWithTotals on_tensor_cores_with_relu_and_totals(const Conv2dBackwardData& op) {
  if (op.into == Into::add) return {};
  if (KernelWithTotals direct = direct_with_relu_and_totals(op); direct.kernel != nullptr) return direct;
  if (!suits_tensor_cores(op.shape, op.types)) return {};
  std::vector<PatchProduct> products = data_products(op.shape);
  if (products.size() > 1) return {};
  const Ends ends = {.relu_behind = true, .totals = true};
  const std::optional<Deal> deal = whole_tiles(products.front(), ends);
  if (!deal) return {};
  return {patch_kernel(std::move(products), op.types.x, ends), deal->parts};
}
KernelPtr on_tensor_cores(const Conv2dBackwardFilter& op) {
  if (KernelPtr kernel = direct_on_tensor_cores(op)) return kernel;
  if (suits_tensor_cores(op.shape, op.types)) return filter_kernel(filter_product(op.shape), op.types.x, op.into);
  return packed_on_tensor_cores(op);
}
KernelPtr on_tensor_cores(const LinearForward& op) { return on_tensor_cores(Conv2dForward{conv2d_of(op.shape), op.types}); }
KernelPtr on_tensor_cores(const LinearBackwardData& op) {
  return on_tensor_cores(Conv2dBackwardData{conv2d_of(op.shape), op.into, op.types});
}
KernelPtr on_tensor_cores(const LinearBackwardFilter& op) {
  return on_tensor_cores(Conv2dBackwardFilter{conv2d_of(op.shape), op.into, op.types});
}
KernelPtr on_tensor_cores_with_bias(const LinearForward& op, std::optional<Activation> activation) {
  return on_tensor_cores_with_bias(Conv2dForward{conv2d_of(op.shape), op.types}, activation);
}

}  // namespace fovea::cuda
