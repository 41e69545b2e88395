// The operands of a convolution as a product: patches of the image, outputs spread over the inputs that they came from, and the filter as
// the gradient of the image needs it. Every row and column holds an offset and a place; their sum is an element or lies outside.
#pragma once

#include "fovea/backend/cuda/gemm.cuh"

namespace fovea::cuda {

constexpr int outside = -(1 << 30);  // with any place added still negative, and with itself no overflow

// Far out in an image with its padding an offset may pass 31 bits; added up to one inside it is right again.
__device__ inline int wrapped(unsigned offset) { return static_cast<int>(offset); }

// A pixel is (image, p, q), a tap (r, s, c within the group); the element is x(image, p stride - pad + r dilation, ..., c).
template <class T>
struct Patches {
  using Value = T;
  const T* data;
  int pixels, taps;
  int h, w, c, image;  // c of all groups; image = h w c
  int stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w;
  int group_c;
  Divider by_q, by_p, by_c, by_s;

  __device__ void shift(int g) { data += g * group_c; }
  __device__ int offset(int from_h, int from_w) const {
    return wrapped((static_cast<unsigned>(from_h) * static_cast<unsigned>(w) + static_cast<unsigned>(from_w)) * static_cast<unsigned>(c));
  }
  __device__ int4 pixel(int i) const {
    if (i >= pixels) return make_int4(0, outside, 0, 0);
    const Divided row = by_q.divide(i);
    const Divided in_batch = by_p.divide(row.quotient);
    const int from_h = in_batch.remainder * stride_h - pad_top, from_w = row.remainder * stride_w - pad_left;
    return make_int4(wrapped(static_cast<unsigned>(in_batch.quotient * image) + static_cast<unsigned>(offset(from_h, from_w))), from_h,
                     from_w, 0);
  }
  __device__ int4 tap(int i) const {
    if (i >= taps) return make_int4(0, outside, 0, 0);
    const Divided place = by_c.divide(i);
    const Divided rs = by_s.divide(place.quotient);
    const int of_h = rs.quotient * dilation_h, of_w = rs.remainder * dilation_w;
    return make_int4(wrapped(static_cast<unsigned>(place.remainder) + static_cast<unsigned>(offset(of_h, of_w))), of_h, of_w, 0);
  }
  __device__ const T* at(int4 a, int4 b) const {
    if (static_cast<unsigned>(a.y + b.y) >= static_cast<unsigned>(h) || static_cast<unsigned>(a.z + b.z) >= static_cast<unsigned>(w))
      return nullptr;
    return data + wrapped(static_cast<unsigned>(a.x) + static_cast<unsigned>(b.x));
  }
};

template <class T>
struct PatchesByPixel : Patches<T> {
  static constexpr Along along = Along::k;
  __device__ int4 row(int i) const { return this->pixel(i); }
  __device__ int4 column(int k) const { return this->tap(k); }
};

template <class T>
struct PatchesByTap : Patches<T> {
  static constexpr Along along = Along::row;
  __device__ int4 row(int i) const { return this->tap(i); }
  __device__ int4 column(int k) const { return this->pixel(k); }
};

// Row (image, h, w), column (r, s, k within the group): dy at the output whose tap (r, s) lies on (h, w), where there is one. With strides
// of 1 these are Patches too, of dy, with padding and dilation backwards.
template <class T>
struct SpreadOutputs {
  static constexpr Along along = Along::k;
  using Value = T;
  const T* data;
  int pixels, taps;
  int p, q, k, image;  // k of all groups; image = p q k
  int pad_top, pad_left, dilation_h, dilation_w;
  int group_k;
  Divider by_w, by_h, by_k, by_s, by_stride_h, by_stride_w;

  __device__ void shift(int g) { data += g * group_k; }
  __device__ int4 row(int i) const {
    if (i >= pixels) return make_int4(0, outside, 0, 0);
    const Divided line = by_w.divide(i);
    const Divided in_batch = by_h.divide(line.quotient);
    return make_int4(in_batch.quotient * image, in_batch.remainder + pad_top, line.remainder + pad_left, 0);
  }
  __device__ int4 column(int i) const {
    if (i >= taps) return make_int4(0, outside, 0, 0);
    const Divided place = by_k.divide(i);
    const Divided rs = by_s.divide(place.quotient);
    return make_int4(place.remainder, -rs.quotient * dilation_h, -rs.remainder * dilation_w, 0);
  }
  __device__ const T* at(int4 a, int4 b) const {
    const int from_h = a.y + b.y, from_w = a.z + b.z;
    if (from_h < 0 || from_w < 0) return nullptr;
    const Divided in_h = by_stride_h.divide(from_h), in_w = by_stride_w.divide(from_w);
    if ((in_h.remainder | in_w.remainder) != 0 || in_h.quotient >= p || in_w.quotient >= q) return nullptr;
    return data + (a.x + b.x + (in_h.quotient * q + in_w.quotient) * k);
  }
};

// Row c, column (r, s, k within the group): w(k, r, s, c).
template <class T>
struct FilterByChannel {
  static constexpr Along along = Along::row;
  using Value = T;
  const T* data;
  int channels, taps;
  int filter;  // r s c of one output channel
  int group;
  Divider by_k;

  __device__ void shift(int g) { data += g * group; }
  __device__ int4 row(int i) const { return i < channels ? make_int4(i, 0, 0, 0) : make_int4(0, -1, 0, 0); }
  __device__ int4 column(int i) const {
    if (i >= taps) return make_int4(0, -1, 0, 0);
    const Divided place = by_k.divide(i);
    return make_int4(place.remainder * filter + place.quotient * channels, 0, 0, 0);
  }
  __device__ const T* at(int4 a, int4 b) const { return (a.y | b.y) < 0 ? nullptr : data + (a.x + b.x); }
};

}  // namespace fovea::cuda
