// Pooling: the largest or the mean of each window, a thread for one or several neighbouring channels of the result; padding is never the
// largest.
#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cuda/divider.h"
#include "fovea/backend/cuda/floats.cuh"
#include "fovea/backend/cuda/kernel.h"
#include "fovea/backend/cuda/pool_cells.h"

namespace fovea::cuda {
namespace {

// A pooling in 32 bits, of as many images as a launch takes, `width` channels to a thread.
struct Pool {
  int images, h, w, c, p, q, r, s;
  int stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w;
  int end_h, end_w;  // of the image with its padding
  CountPadding count_padding = CountPadding::no;
  Divider by_c, by_q, by_p, by_w, by_h, by_stride_h, by_stride_w;

  Pool(const PoolShape& shape, int count, int width)
      : images(count),
        h(static_cast<int>(shape.h)),
        w(static_cast<int>(shape.w)),
        c(static_cast<int>(shape.c)),
        p(static_cast<int>(shape.p())),
        q(static_cast<int>(shape.q())),
        r(static_cast<int>(shape.window.r)),
        s(static_cast<int>(shape.window.s)),
        stride_h(static_cast<int>(shape.window.stride_h)),
        stride_w(static_cast<int>(shape.window.stride_w)),
        pad_top(static_cast<int>(shape.window.pad_top)),
        pad_left(static_cast<int>(shape.window.pad_left)),
        dilation_h(static_cast<int>(shape.window.dilation_h)),
        dilation_w(static_cast<int>(shape.window.dilation_w)),
        end_h(static_cast<int>(shape.h + shape.window.pad_bottom)),
        end_w(static_cast<int>(shape.w + shape.window.pad_right)),
        by_c(c / width),
        by_q(q),
        by_p(p),
        by_w(w),
        by_h(h),
        by_stride_h(stride_h),
        by_stride_w(stride_w) {}

  FOVEA_HOST_DEVICE int inputs() const { return images * h * w * c; }
  FOVEA_HOST_DEVICE int outputs() const { return images * p * q * c; }

  // What the sum over the window of output (p, q) is divided by.
  __device__ float divisor(int at_p, int at_q) const {
    const bool counted = count_padding == CountPadding::yes;
    int lines = 0, columns = 0;
    for (int i = 0; i < r; ++i) {
      const int line = at_p * stride_h - pad_top + i * dilation_h;
      lines += counted ? line < end_h : inside(line, h);
    }
    for (int i = 0; i < s; ++i) {
      const int column = at_q * stride_w - pad_left + i * dilation_w;
      columns += counted ? column < end_w : inside(column, w);
    }
    return static_cast<float>(lines * columns);
  }
  __device__ static bool inside(int i, int size) { return i >= 0 && i < size; }
};

struct Place {
  int image, line, column, c;
};
// Of the piece of `width` channels.
template <int width>
__device__ Place output_place(const Pool& pool, int piece) {
  const Divided pixel = pool.by_c.divide(piece);
  const Divided line = pool.by_q.divide(pixel.quotient);
  const Divided image = pool.by_p.divide(line.quotient);
  return {image.quotient, image.remainder, line.remainder, pixel.remainder * width};
}
template <int width>
__device__ Place input_place(const Pool& pool, int piece) {
  const Divided pixel = pool.by_c.divide(piece);
  const Divided line = pool.by_w.divide(pixel.quotient);
  const Divided image = pool.by_h.divide(line.quotient);
  return {image.quotient, image.remainder, line.remainder, pixel.remainder * width};
}

// The inputs in the window of an output: body(position in the window, values).
template <int width, class T, class Body>
__device__ void for_each_input(const Pool& pool, const Place& out, const T* x, Body body) {
  for (int r = 0; r < pool.r; ++r) {
    const int h = out.line * pool.stride_h - pool.pad_top + r * pool.dilation_h;
    if (!Pool::inside(h, pool.h)) continue;
    for (int s = 0; s < pool.s; ++s) {
      const int w = out.column * pool.stride_w - pool.pad_left + s * pool.dilation_w;
      if (!Pool::inside(w, pool.w)) continue;
      float values[width];
      copy<width>(x + ((out.image * pool.h + h) * pool.w + w) * pool.c + out.c, values);
      body(r * pool.s + s, values);
    }
  }
}

// The outputs whose window covers an input: body(position in the window, p, q, element).
template <class Body>
__device__ void for_each_output(const Pool& pool, const Place& in, Body body) {
  for (int r = 0; r < pool.r; ++r) {
    const int from_h = in.line + pool.pad_top - r * pool.dilation_h;
    if (from_h < 0) break;
    const Divided p = pool.by_stride_h.divide(from_h);
    if (p.remainder != 0 || p.quotient >= pool.p) continue;
    for (int s = 0; s < pool.s; ++s) {
      const int from_w = in.column + pool.pad_left - s * pool.dilation_w;
      if (from_w < 0) break;
      const Divided q = pool.by_stride_w.divide(from_w);
      if (q.remainder != 0 || q.quotient >= pool.q) continue;
      body(r * pool.s + s, p.quotient, q.quotient, ((in.image * pool.p + p.quotient) * pool.q + q.quotient) * pool.c + in.c);
    }
  }
}

// Several places of maxima in one access.
template <class Argmax, int width>
struct alignas(sizeof(Argmax) * width) Places {
  Argmax at[width];
};

template <int width, class T, class Argmax>
__global__ void __launch_bounds__(block_threads) max_forward(Pool pool, const T* x, T* y, Argmax* argmax) {
  const int64_t element = (int64_t{blockIdx.x} * block_threads + threadIdx.x) * width;
  if (element >= pool.outputs()) return;
  float largest[width];
  Places<Argmax, width> places;
#pragma unroll
  for (int j = 0; j < width; ++j) largest[j] = -INFINITY;
  bool first = true;
  for_each_input<width>(pool, output_place<width>(pool, static_cast<int>(element / width)), x, [&](int position, const float* values) {
    if (first)
#pragma unroll
      for (int j = 0; j < width; ++j) places.at[j] = static_cast<Argmax>(position);
    first = false;
#pragma unroll
    for (int j = 0; j < width; ++j) {
      const bool replaces = !(values[j] <= largest[j]) && !isnan(largest[j]);  // larger, or the first NaN
      largest[j] = replaces ? values[j] : largest[j];
      places.at[j] = replaces ? static_cast<Argmax>(position) : places.at[j];
    }
  });
  if (first)  // a window of padding alone
#pragma unroll
    for (int j = 0; j < width; ++j) largest[j] = 0;
  put<width>(largest, y + element);
  if (argmax != nullptr) *reinterpret_cast<Places<Argmax, width>*>(argmax + element) = places;
}

// Adds the sums to what stands there, or puts them there.
template <int width, class T>
__device__ void leave(Into into, float (&sums)[width], T* dx) {
  float before[width] = {};
  if (into == Into::add) copy<width>(dx, before);
#pragma unroll
  for (int j = 0; j < width; ++j) before[j] += sums[j];
  put<width>(before, dx);
}

template <int width, class T, class Argmax>
__global__ void __launch_bounds__(block_threads) max_backward(Pool pool, Into into, const T* dy, const Argmax* argmax, T* dx) {
  const int64_t element = (int64_t{blockIdx.x} * block_threads + threadIdx.x) * width;
  if (element >= pool.inputs()) return;
  float sums[width] = {};
  for_each_output(pool, input_place<width>(pool, static_cast<int>(element / width)), [&](int position, int, int, int out) {
    const Places<Argmax, width> places = *reinterpret_cast<const Places<Argmax, width>*>(argmax + out);
    float values[width];
    copy<width>(dy + out, values);
#pragma unroll
    for (int j = 0; j < width; ++j)
      if (places.at[j] == position) sums[j] += values[j];
  });
  leave<width>(into, sums, dx + element);
}

template <int width, class T>
__global__ void __launch_bounds__(block_threads) avg_forward(Pool pool, const T* x, T* y) {
  const int64_t element = (int64_t{blockIdx.x} * block_threads + threadIdx.x) * width;
  if (element >= pool.outputs()) return;
  const Place place = output_place<width>(pool, static_cast<int>(element / width));
  float sums[width] = {};
  for_each_input<width>(pool, place, x, [&](int, const float* values) {
#pragma unroll
    for (int j = 0; j < width; ++j) sums[j] += values[j];
  });
  const float divisor = pool.divisor(place.line, place.column);
#pragma unroll
  for (int j = 0; j < width; ++j) sums[j] = sums[j] / divisor;
  put<width>(sums, y + element);
}

template <int width, class T>
__global__ void __launch_bounds__(block_threads) avg_backward(Pool pool, Into into, const T* dy, T* dx) {
  const int64_t element = (int64_t{blockIdx.x} * block_threads + threadIdx.x) * width;
  if (element >= pool.inputs()) return;
  float sums[width] = {};
  for_each_output(pool, input_place<width>(pool, static_cast<int>(element / width)), [&](int, int p, int q, int out) {
    const float divisor = pool.divisor(p, q);
    float values[width];
    copy<width>(dy + out, values);
#pragma unroll
    for (int j = 0; j < width; ++j) sums[j] += values[j] / divisor;
  });
  leave<width>(into, sums, dx + element);
}

int64_t input_elements(const PoolShape& shape) { return shape.h * shape.w * shape.c; }
int64_t output_elements(const PoolShape& shape) { return shape.p() * shape.q() * shape.c; }
int64_t elements_per_image(const PoolShape& shape) { return std::max(input_elements(shape), output_elements(shape)); }

template <class Op>
DType require_pool(const Op& op) {
  require_countable(op, op.shape.window, op.shape.h, op.shape.w);
  require_countable(op, elements_per_image(op.shape));
  return require_values(op);
}

std::string text_of(int width) { return width == 1 ? "element by element" : std::to_string(width) + " channels a thread"; }

// make.operator()<T, width>(): with the type of the values, and as many channels to a thread as divide theirs.
template <class Op, class Make>
KernelPtr for_channels(const Op& op, Make make) {
  return with_values(require_pool(op), [&]<class T>(T) -> KernelPtr {
    constexpr int most = most_abreast<T>;
    return op.shape.c % most == 0 ? make.template operator()<T, most>() : make.template operator()<T, 1>();
  });
}

template <class T, int width, class Argmax>
void max_pool_forward(const MaxPoolForward& op, const Buffers& buffers, const Launch& launch) {
  Argmax* argmax = buffers.out.size() > 1 ? output_of<Argmax>(buffers, 1) : nullptr;
  for_image_ranges(op.shape.n, elements_per_image(op.shape), [&](int64_t first, int images) {
    const Pool pool(op.shape, images, width);
    const int64_t to = first * output_elements(op.shape);
    max_forward<width><<<blocks_of_each(pool.outputs(), width * block_threads), block_threads, 0, launch.stream>>>(
        pool, input_of<T>(buffers, 0) + first * input_elements(op.shape), output_of<T>(buffers, 0) + to,
        argmax == nullptr ? nullptr : argmax + to);
    check_launch("max_pool_forward");
  });
}

template <class T, int width, class Argmax>
void max_pool_backward(const MaxPoolBackward& op, const Buffers& buffers, const Launch& launch) {
  for_image_ranges(op.shape.n, elements_per_image(op.shape), [&](int64_t first, int images) {
    const Pool pool(op.shape, images, width);
    const int64_t from = first * output_elements(op.shape);
    max_backward<width><<<blocks_of_each(pool.inputs(), width * block_threads), block_threads, 0, launch.stream>>>(
        pool, op.into, input_of<T>(buffers, 0) + from, input_of<Argmax>(buffers, 1) + from,
        output_of<T>(buffers, 0) + first * input_elements(op.shape));
    check_launch("max_pool_backward");
  });
}

template <class T, int width>
void avg_pool_forward(const AvgPoolForward& op, const Buffers& buffers, const Launch& launch) {
  for_image_ranges(op.shape.n, elements_per_image(op.shape), [&](int64_t first, int images) {
    Pool pool(op.shape, images, width);
    pool.count_padding = op.count_padding;
    avg_forward<width><<<blocks_of_each(pool.outputs(), width * block_threads), block_threads, 0, launch.stream>>>(
        pool, input_of<T>(buffers, 0) + first * input_elements(op.shape), output_of<T>(buffers, 0) + first * output_elements(op.shape));
    check_launch("avg_pool_forward");
  });
}

template <class T, int width>
void avg_pool_backward(const AvgPoolBackward& op, const Buffers& buffers, const Launch& launch) {
  for_image_ranges(op.shape.n, elements_per_image(op.shape), [&](int64_t first, int images) {
    Pool pool(op.shape, images, width);
    pool.count_padding = op.count_padding;
    avg_backward<width><<<blocks_of_each(pool.inputs(), width * block_threads), block_threads, 0, launch.stream>>>(
        pool, op.into, input_of<T>(buffers, 0) + first * output_elements(op.shape),
        output_of<T>(buffers, 0) + first * input_elements(op.shape));
    check_launch("avg_pool_backward");
  });
}

}  // namespace

template <>
KernelPtr Kernels::make(const MaxPoolForward& op, const Limits&) {
  return for_channels(op, [&]<class T, int width>() {
    if (argmax_dtype(op.shape.window) == DType::u16) return kernel(text_of(1), op, max_pool_forward<T, 1, uint16_t>);
    return kernel(text_of(width), op, max_pool_forward<T, width, uint8_t>);
  });
}
template <>
KernelPtr Kernels::make(const MaxPoolBackward& op, const Limits&) {
  if (has_cells(op.shape)) return max_pool_backward_in_cells(op);
  return for_channels(op, [&]<class T, int width>() {
    if (argmax_dtype(op.shape.window) == DType::u16) return kernel(text_of(1), op, max_pool_backward<T, 1, uint16_t>);
    return kernel(text_of(width), op, max_pool_backward<T, width, uint8_t>);
  });
}
template <>
KernelPtr Kernels::make(const AvgPoolForward& op, const Limits&) {
  return for_channels(op, [&]<class T, int width>() { return kernel(text_of(width), op, avg_pool_forward<T, width>); });
}
template <>
KernelPtr Kernels::make(const AvgPoolBackward& op, const Limits&) {
  return for_channels(op, [&]<class T, int width>() { return kernel(text_of(width), op, avg_pool_backward<T, width>); });
}

}  // namespace fovea::cuda
