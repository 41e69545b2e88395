// Pooling: the largest or the mean of each window, a thread for each element of the result; padding is never the largest.
#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cuda/divider.h"
#include "fovea/backend/cuda/kernel.h"

namespace fovea::cuda {
namespace {

// A pooling in 32 bits, of as many images as a launch takes.
struct Pool {
  int images, h, w, c, p, q, r, s;
  int stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w;
  int end_h, end_w;  // of the image with its padding
  CountPadding count_padding = CountPadding::no;
  Divider by_c, by_q, by_p, by_w, by_h, by_stride_h, by_stride_w;

  Pool(const PoolShape& shape, int count)
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
        by_c(c),
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
__device__ Place output_place(const Pool& pool, int element) {
  const Divided pixel = pool.by_c.divide(element);
  const Divided line = pool.by_q.divide(pixel.quotient);
  const Divided image = pool.by_p.divide(line.quotient);
  return {image.quotient, image.remainder, line.remainder, pixel.remainder};
}
__device__ Place input_place(const Pool& pool, int element) {
  const Divided pixel = pool.by_c.divide(element);
  const Divided line = pool.by_w.divide(pixel.quotient);
  const Divided image = pool.by_h.divide(line.quotient);
  return {image.quotient, image.remainder, line.remainder, pixel.remainder};
}

// The inputs in the window of an output: body(position in the window, value).
template <class Body>
__device__ void for_each_input(const Pool& pool, const Place& out, const float* x, Body body) {
  for (int r = 0; r < pool.r; ++r) {
    const int h = out.line * pool.stride_h - pool.pad_top + r * pool.dilation_h;
    if (!Pool::inside(h, pool.h)) continue;
    for (int s = 0; s < pool.s; ++s) {
      const int w = out.column * pool.stride_w - pool.pad_left + s * pool.dilation_w;
      if (Pool::inside(w, pool.w)) body(r * pool.s + s, x[((out.image * pool.h + h) * pool.w + w) * pool.c + out.c]);
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

template <class Argmax>
__global__ void __launch_bounds__(block_threads) max_forward(Pool pool, const float* x, float* y, Argmax* argmax) {
  const int64_t element = int64_t{blockIdx.x} * block_threads + threadIdx.x;
  if (element >= pool.outputs()) return;
  float largest = 0;
  int place = -1;
  for_each_input(pool, output_place(pool, static_cast<int>(element)), x, [&](int position, float value) {
    if (place >= 0 && !(value > largest || (isnan(value) && !isnan(largest)))) return;
    largest = value;
    place = position;
  });
  y[element] = largest;
  if (argmax != nullptr) argmax[element] = static_cast<Argmax>(place);
}

template <class Argmax>
__global__ void __launch_bounds__(block_threads) max_backward(Pool pool, Into into, const float* dy, const Argmax* argmax, float* dx) {
  const int64_t element = int64_t{blockIdx.x} * block_threads + threadIdx.x;
  if (element >= pool.inputs()) return;
  float sum = 0;
  for_each_output(pool, input_place(pool, static_cast<int>(element)), [&](int position, int, int, int out) {
    if (argmax[out] == position) sum += dy[out];
  });
  dx[element] = into == Into::add ? dx[element] + sum : sum;
}

__global__ void __launch_bounds__(block_threads) avg_forward(Pool pool, const float* x, float* y) {
  const int64_t element = int64_t{blockIdx.x} * block_threads + threadIdx.x;
  if (element >= pool.outputs()) return;
  const Place place = output_place(pool, static_cast<int>(element));
  float sum = 0;
  for_each_input(pool, place, x, [&](int, float value) { sum += value; });
  y[element] = sum / pool.divisor(place.line, place.column);
}

__global__ void __launch_bounds__(block_threads) avg_backward(Pool pool, Into into, const float* dy, float* dx) {
  const int64_t element = int64_t{blockIdx.x} * block_threads + threadIdx.x;
  if (element >= pool.inputs()) return;
  float sum = 0;
  for_each_output(pool, input_place(pool, static_cast<int>(element)),
                  [&](int, int p, int q, int out) { sum += dy[out] / pool.divisor(p, q); });
  dx[element] = into == Into::add ? dx[element] + sum : sum;
}

int64_t input_elements(const PoolShape& shape) { return shape.h * shape.w * shape.c; }
int64_t output_elements(const PoolShape& shape) { return shape.p() * shape.q() * shape.c; }
int64_t elements_per_image(const PoolShape& shape) { return std::max(input_elements(shape), output_elements(shape)); }

template <class Op, class Function>
KernelPtr pool_kernel(const Op& op, Function function) {
  require_float(op, op.types);
  require_countable(op, op.shape.window, op.shape.h, op.shape.w);
  require_countable(op, elements_per_image(op.shape));
  return kernel("element by element", op, function);
}

template <class Argmax>
void max_pool_forward(const MaxPoolForward& op, const Buffers& buffers, const Launch& launch) {
  Argmax* argmax = buffers.out.size() > 1 ? output_of<Argmax>(buffers, 1) : nullptr;
  for_image_ranges(op.shape.n, elements_per_image(op.shape), [&](int64_t first, int images) {
    const Pool pool(op.shape, images);
    const int64_t to = first * output_elements(op.shape);
    max_forward<<<blocks_of_each(pool.outputs()), block_threads, 0, launch.stream>>>(
        pool, input(buffers, 0) + first * input_elements(op.shape), output(buffers, 0) + to, argmax == nullptr ? nullptr : argmax + to);
    check_launch("max_pool_forward");
  });
}

template <class Argmax>
void max_pool_backward(const MaxPoolBackward& op, const Buffers& buffers, const Launch& launch) {
  for_image_ranges(op.shape.n, elements_per_image(op.shape), [&](int64_t first, int images) {
    const Pool pool(op.shape, images);
    const int64_t from = first * output_elements(op.shape);
    max_backward<<<blocks_of_each(pool.inputs()), block_threads, 0, launch.stream>>>(pool, op.into, input(buffers, 0) + from,
                                                                                     input_of<Argmax>(buffers, 1) + from,
                                                                                     output(buffers, 0) + first * input_elements(op.shape));
    check_launch("max_pool_backward");
  });
}

void avg_pool_forward(const AvgPoolForward& op, const Buffers& buffers, const Launch& launch) {
  for_image_ranges(op.shape.n, elements_per_image(op.shape), [&](int64_t first, int images) {
    Pool pool(op.shape, images);
    pool.count_padding = op.count_padding;
    avg_forward<<<blocks_of_each(pool.outputs()), block_threads, 0, launch.stream>>>(
        pool, input(buffers, 0) + first * input_elements(op.shape), output(buffers, 0) + first * output_elements(op.shape));
    check_launch("avg_pool_forward");
  });
}

void avg_pool_backward(const AvgPoolBackward& op, const Buffers& buffers, const Launch& launch) {
  for_image_ranges(op.shape.n, elements_per_image(op.shape), [&](int64_t first, int images) {
    Pool pool(op.shape, images);
    pool.count_padding = op.count_padding;
    avg_backward<<<blocks_of_each(pool.inputs()), block_threads, 0, launch.stream>>>(
        pool, op.into, input(buffers, 0) + first * output_elements(op.shape), output(buffers, 0) + first * input_elements(op.shape));
    check_launch("avg_pool_backward");
  });
}

}  // namespace

template <>
KernelPtr Kernels::make(const MaxPoolForward& op, const Limits&) {
  if (argmax_dtype(op.shape.window) == DType::u8) return pool_kernel(op, max_pool_forward<uint8_t>);
  return pool_kernel(op, max_pool_forward<uint16_t>);
}
template <>
KernelPtr Kernels::make(const MaxPoolBackward& op, const Limits&) {
  if (argmax_dtype(op.shape.window) == DType::u8) return pool_kernel(op, max_pool_backward<uint8_t>);
  return pool_kernel(op, max_pool_backward<uint16_t>);
}
template <>
KernelPtr Kernels::make(const AvgPoolForward& op, const Limits&) {
  return pool_kernel(op, avg_pool_forward);
}
template <>
KernelPtr Kernels::make(const AvgPoolBackward& op, const Limits&) {
  return pool_kernel(op, avg_pool_backward);
}

}  // namespace fovea::cuda
