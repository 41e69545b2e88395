// Convolutions and linear layers in bf16 and fp16 as products on the tensor cores of Hopper, one interface for all of them. The images are
// fetched as patches (implicit GEMM); the filters are the rows of the product and the pixels its columns, so that a block of 64 filters
// still fills the widest instruction.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fovea/backend/cuda/kernel.h"
#include "fovea/backend/cuda/norm_parts.h"
#include "fovea/backend/cuda/tensor_map.h"

namespace fovea::cuda {

// out(window, m) = sum over r, s and channels of image(window + (r, s)) filter(m, tap(r, s), channel).
struct PatchProduct {
  Windows windows;
  int r = 0, s = 0, dilation_h = 1, dilation_w = 1;  // r = 0: no tap reaches these windows
  int first_tap = 0, tap_r = 0, tap_s = 1;           // tap(r, s) = first_tap + r tap_r + s tap_s
  int taps = 1;                                      // of the filter
  int m = 1;
  enum class Filter : uint8_t { by_output, by_input } filter = Filter::by_output;  // (m, taps, c), or (c, taps, m)
  // Window (p, q) of image n goes to pixel (p step_h + first_h, q step_w + first_w) of an image of h x w.
  struct Places {
    int h = 1, w = 1, step_h = 1, step_w = 1, first_h = 0, first_w = 0;
  } places;

  int contraction() const { return r * s * windows.c; }
};
PatchProduct forward_product(const Conv2dShape& shape);
std::vector<PatchProduct> data_products(const Conv2dShape& shape);  // one for each place of a pixel between the strides

// dw(k, tap, c) = sum over windows of dy(window, k) x(window + tap, c).
struct FilterProduct {
  Windows windows;
  int r = 1, s = 1, dilation_h = 1, dilation_w = 1;
  int k = 1;
};
FilterProduct filter_product(const Conv2dShape& shape);

// Channels by eights, one group, x and y in bf16 or fp16 and sums in f32, on a GPU that has the instructions.
bool suits_tensor_cores(const Conv2dShape& shape, const Types& types);
bool can_be_fetched(const Windows& windows, int r, int s, int dilation_h, int dilation_w);

// Where the operands of a product stand among the inputs, and what is done to its outputs.
struct Ends {
  size_t image = 0, filter = 1;
  Into into = Into::overwrite;
  bool bias = false, relu = false;  // the bias is input 2
  bool relu_behind = false;         // sums become the gradient of relu: input 2 is what it gave, input 3 what they are added to, if at all
  bool moments = false;             // output 1, as whole_tiles deals out the pixels, or direct_with_moments
  bool totals = false;              // output 1: sums of what is written, over parts of the pixels; with relu_behind
};

// Makers of kernels; nullptr where the tensor cores cannot do it.
KernelPtr patch_kernel(std::vector<PatchProduct> products, DType dtype, const Ends& ends);
KernelPtr filter_kernel(const FilterProduct& product, DType dtype, Into into);
std::optional<Deal> whole_tiles(const PatchProduct& product, const Ends& ends);  // nullopt: sums are not complete in any tile
KernelPtr direct_on_tensor_cores(const Conv2dForward& op, const Ends& ends);
KernelPtr direct_on_tensor_cores(const Conv2dBackwardData& op);
KernelPtr direct_on_tensor_cores(const Conv2dBackwardFilter& op);
struct KernelWithTotals {
  KernelPtr kernel;
  int parts = 0;
};
KernelWithTotals direct_with_relu_and_totals(const Conv2dBackwardData& op);
KernelPtr packed_on_tensor_cores(const Conv2dForward& op, const Ends& ends);
KernelPtr packed_on_tensor_cores(const Conv2dBackwardFilter& op);

KernelPtr on_tensor_cores(const Conv2dForward& op);
KernelPtr on_tensor_cores(const Conv2dBackwardData& op);
KernelPtr on_tensor_cores(const Conv2dBackwardFilter& op);
KernelPtr on_tensor_cores(const LinearForward& op);
KernelPtr on_tensor_cores(const LinearBackwardData& op);
KernelPtr on_tensor_cores(const LinearBackwardFilter& op);
// in: x w b   out: y; with no activation, or relu
KernelPtr on_tensor_cores_with_bias(const Conv2dForward& op, std::optional<Activation> activation);
KernelPtr on_tensor_cores_with_bias(const LinearForward& op, std::optional<Activation> activation);
// in: x w   out: y, and moments of parts of its pixels
struct MomentsOfTiles {
  KernelPtr kernel;
  Deal deal;
};
MomentsOfTiles on_tensor_cores_with_moments(const Conv2dForward& op);
MomentsOfTiles direct_with_moments(const Conv2dForward& op);
// The gradient that is complete with this one, through the relu in front of it. in: dy w, y of relu, the gradient so far   out: dx of relu
KernelPtr on_tensor_cores_with_relu(const Conv2dBackwardData& op);
// The gradient through the relu in front of it, and its sums over parts of the pixels. in: dy w, y of relu   out: dx of relu, (parts, c)
KernelWithTotals on_tensor_cores_with_relu_and_totals(const Conv2dBackwardData& op);

}  // namespace fovea::cuda
