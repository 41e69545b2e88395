// A convolution's sizes as its kernels count them, and its operands.
#pragma once

#include "fovea/backend/cuda/patches.cuh"

namespace fovea::cuda {

// A convolution in 32 bits, of as many images as a launch takes.
struct Sizes {
  int h, w, c, k, p, q, r, s, groups;
  int group_c, group_k, taps;  // taps = r s group_c

  explicit Sizes(const Conv2dShape& shape)
      : h(narrow(shape.h)),
        w(narrow(shape.w)),
        c(narrow(shape.c)),
        k(narrow(shape.k)),
        p(narrow(shape.p())),
        q(narrow(shape.q())),
        r(narrow(shape.window.r)),
        s(narrow(shape.window.s)),
        groups(narrow(shape.groups)),
        group_c(c / groups),
        group_k(k / groups),
        taps(r * s * group_c) {}
  static int narrow(int64_t size) { return static_cast<int>(size); }
};

inline int64_t elements_per_image(const Conv2dShape& shape) {
  return std::max(shape.h * shape.w * shape.c, shape.p() * shape.q() * shape.k);
}

inline int images_per_launch(const Conv2dShape& shape) {
  int most = 1;
  for_image_ranges(shape.n, elements_per_image(shape), [&](int64_t, int images) { most = std::max(most, images); });
  return most;
}

// Returns the type of the values.
template <class Op>
DType require_conv2d(const Op& op) {
  const Conv2dShape& shape = op.shape;
  require_countable(op, shape.window, shape.h, shape.w);
  require_countable(op, elements_per_image(shape));
  require_countable(op, shape.filter().elements());
  require_countable(op, shape.window.r * shape.window.s * shape.k);  // the depth of the gradient of the image
  return require_values(op);
}

template <class ByPixelOrTap>
ByPixelOrTap patches(const Conv2dShape& shape, int images, const typename ByPixelOrTap::Value* x) {
  const Sizes sizes(shape);
  const Window& window = shape.window;
  ByPixelOrTap made;
  made.data = x;
  made.pixels = images * sizes.p * sizes.q;
  made.taps = sizes.taps;
  made.h = sizes.h, made.w = sizes.w, made.c = sizes.c;
  made.image = sizes.h * sizes.w * sizes.c;
  made.stride_h = Sizes::narrow(window.stride_h), made.stride_w = Sizes::narrow(window.stride_w);
  made.pad_top = Sizes::narrow(window.pad_top), made.pad_left = Sizes::narrow(window.pad_left);
  made.dilation_h = Sizes::narrow(window.dilation_h), made.dilation_w = Sizes::narrow(window.dilation_w);
  made.group_c = sizes.group_c;
  made.by_q = Divider(sizes.q), made.by_p = Divider(sizes.p), made.by_c = Divider(sizes.group_c), made.by_s = Divider(sizes.s);
  return made;
}

template <class T>
PatchesByPixel<T> backward_patches(const Conv2dShape& shape, int images, const T* dy) {
  const Sizes sizes(shape);
  const Window& window = shape.window;
  PatchesByPixel<T> made;
  made.data = dy;
  made.pixels = images * sizes.h * sizes.w;
  made.taps = sizes.r * sizes.s * sizes.group_k;
  made.h = sizes.p, made.w = sizes.q, made.c = sizes.k;
  made.image = sizes.p * sizes.q * sizes.k;
  made.stride_h = made.stride_w = 1;
  made.pad_top = -Sizes::narrow(window.pad_top), made.pad_left = -Sizes::narrow(window.pad_left);
  made.dilation_h = -Sizes::narrow(window.dilation_h), made.dilation_w = -Sizes::narrow(window.dilation_w);
  made.group_c = sizes.group_k;
  made.by_q = Divider(sizes.w), made.by_p = Divider(sizes.h), made.by_c = Divider(sizes.group_k), made.by_s = Divider(sizes.s);
  return made;
}

template <class T>
SpreadOutputs<T> spread_outputs(const Conv2dShape& shape, int images, const T* dy) {
  const Sizes sizes(shape);
  const Window& window = shape.window;
  SpreadOutputs<T> made;
  made.data = dy;
  made.pixels = images * sizes.h * sizes.w;
  made.taps = sizes.r * sizes.s * sizes.group_k;
  made.p = sizes.p, made.q = sizes.q, made.k = sizes.k;
  made.image = sizes.p * sizes.q * sizes.k;
  made.pad_top = Sizes::narrow(window.pad_top), made.pad_left = Sizes::narrow(window.pad_left);
  made.dilation_h = Sizes::narrow(window.dilation_h), made.dilation_w = Sizes::narrow(window.dilation_w);
  made.group_k = sizes.group_k;
  made.by_w = Divider(sizes.w), made.by_h = Divider(sizes.h), made.by_k = Divider(sizes.group_k), made.by_s = Divider(sizes.s);
  made.by_stride_h = Divider(Sizes::narrow(window.stride_h)), made.by_stride_w = Divider(Sizes::narrow(window.stride_w));
  return made;
}

}  // namespace fovea::cuda
