// Where branches meet: sums, concatenations, and shortcuts past layers that shrink the image.
#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cuda/divider.h"
#include "fovea/backend/cuda/kernel.h"

namespace fovea::cuda {
namespace {

__global__ void __launch_bounds__(block_threads) add_elements(int64_t elements, const float* a, const float* b, float* y) {
  const int64_t thread = int64_t{blockIdx.x} * block_threads + threadIdx.x, threads = int64_t{gridDim.x} * block_threads;
  const int64_t quads = elements / 4;
  for (int64_t i = thread; i < quads; i += threads) {
    const float4 left = reinterpret_cast<const float4*>(a)[i], right = reinterpret_cast<const float4*>(b)[i];
    reinterpret_cast<float4*>(y)[i] = make_float4(left.x + right.x, left.y + right.y, left.z + right.z, left.w + right.w);
  }
  for (int64_t i = 4 * quads + thread; i < elements; i += threads) y[i] = a[i] + b[i];
}

// Some channels of rows that have more of them, from here to there.
struct Slice {
  int64_t rows;
  int channels;
  int64_t from_stride, to_stride;
  Into into;
};

__global__ void __launch_bounds__(block_threads) copy_slice(Slice slice, const float* from, float* to) {
  const int64_t elements = slice.rows * slice.channels;
  for (int64_t i = int64_t{blockIdx.x} * block_threads + threadIdx.x; i < elements; i += int64_t{gridDim.x} * block_threads) {
    const int64_t row = i / slice.channels, c = i - row * slice.channels;
    const float value = from[row * slice.from_stride + c];
    float& place = to[row * slice.to_stride + c];
    place = slice.into == Into::add ? place + value : value;
  }
}

void concat_forward(const ConcatForward& op, const Buffers& buffers, const Launch& launch) {
  for (int part = 0; part < static_cast<int>(op.channels.size()); ++part) {
    const int64_t channels = op.channels[static_cast<size_t>(part)];
    copy_slice<<<blocks_for(op.rows * channels), block_threads, 0, launch.stream>>>(
        {op.rows, static_cast<int>(channels), channels, op.c(), Into::overwrite}, input(buffers, static_cast<size_t>(part)),
        output(buffers, 0) + op.first(part));
    check_launch("concat_forward");
  }
}

void concat_backward(const ConcatBackward& op, const Buffers& buffers, const Launch& launch) {
  const ConcatForward& forward = op.forward;
  const int64_t channels = forward.channels[static_cast<size_t>(op.part)];
  copy_slice<<<blocks_for(forward.rows * channels), block_threads, 0, launch.stream>>>(
      {forward.rows, static_cast<int>(channels), forward.c(), channels, op.into}, input(buffers, 0) + forward.first(op.part),
      output(buffers, 0));
  check_launch("concat_backward");
}

// A shortcut in 32 bits, of as many images as a launch takes.
struct Shortcut {
  int images, h, w, c, p, q, k, stride, first;
  Divider by_c, by_w, by_h, by_k, by_q, by_p, by_stride;

  Shortcut(const ShortcutShape& shape, int count)
      : images(count),
        h(static_cast<int>(shape.h)),
        w(static_cast<int>(shape.w)),
        c(static_cast<int>(shape.c)),
        p(static_cast<int>(shape.p())),
        q(static_cast<int>(shape.q())),
        k(static_cast<int>(shape.k)),
        stride(static_cast<int>(shape.stride)),
        first(static_cast<int>(shape.first())),
        by_c(c),
        by_w(w),
        by_h(h),
        by_k(k),
        by_q(q),
        by_p(p),
        by_stride(stride) {}
};

__global__ void __launch_bounds__(block_threads) take_shortcut(Shortcut shape, const float* x, float* y) {
  const int64_t element = int64_t{blockIdx.x} * block_threads + threadIdx.x;
  if (element >= int64_t{shape.images} * shape.p * shape.q * shape.k) return;
  const Divided pixel = shape.by_k.divide(static_cast<int>(element)), line = shape.by_q.divide(pixel.quotient);
  const Divided image = shape.by_p.divide(line.quotient);
  const int c = pixel.remainder - shape.first;
  const int h = image.remainder * shape.stride, w = line.remainder * shape.stride;
  y[element] = c >= 0 && c < shape.c ? x[((image.quotient * shape.h + h) * shape.w + w) * shape.c + c] : 0;
}

__global__ void __launch_bounds__(block_threads) return_shortcut(Shortcut shape, Into into, const float* dy, float* dx) {
  const int64_t element = int64_t{blockIdx.x} * block_threads + threadIdx.x;
  if (element >= int64_t{shape.images} * shape.h * shape.w * shape.c) return;
  const Divided pixel = shape.by_c.divide(static_cast<int>(element)), line = shape.by_w.divide(pixel.quotient);
  const Divided image = shape.by_h.divide(line.quotient);
  const Divided p = shape.by_stride.divide(image.remainder), q = shape.by_stride.divide(line.remainder);
  float value = 0;
  if (p.remainder == 0 && q.remainder == 0)
    value = dy[((image.quotient * shape.p + p.quotient) * shape.q + q.quotient) * shape.k + shape.first + pixel.remainder];
  dx[element] = into == Into::add ? dx[element] + value : value;
}

int64_t x_elements(const ShortcutShape& shape) { return shape.h * shape.w * shape.c; }
int64_t y_elements(const ShortcutShape& shape) { return shape.p() * shape.q() * shape.k; }

void shortcut_forward(const ShortcutForward& op, const Buffers& buffers, const Launch& launch) {
  const int64_t in = x_elements(op.shape), out = y_elements(op.shape);
  for_image_ranges(op.shape.n, std::max(in, out), [&](int64_t first, int images) {
    take_shortcut<<<blocks_of_each(images * out), block_threads, 0, launch.stream>>>(
        Shortcut(op.shape, images), input(buffers, 0) + first * in, output(buffers, 0) + first * out);
    check_launch("shortcut_forward");
  });
}

void shortcut_backward(const ShortcutBackward& op, const Buffers& buffers, const Launch& launch) {
  const int64_t in = x_elements(op.shape), out = y_elements(op.shape);
  for_image_ranges(op.shape.n, std::max(in, out), [&](int64_t first, int images) {
    return_shortcut<<<blocks_of_each(images * in), block_threads, 0, launch.stream>>>(
        Shortcut(op.shape, images), op.into, input(buffers, 0) + first * out, output(buffers, 0) + first * in);
    check_launch("shortcut_backward");
  });
}

template <class Op, class Function>
KernelPtr shortcut_kernel(const Op& op, Function function) {
  require_float(op, op.types);
  require_countable(op, std::max(x_elements(op.shape), y_elements(op.shape)));
  return kernel("element by element", op, function);
}

}  // namespace

template <>
KernelPtr Kernels::make(const Add& op, const Limits&) {
  require_float(op, op.types);
  return kernel("element by element", op, [](const Add& o, const Buffers& buffers, const Launch& launch) {
    add_elements<<<blocks_for(o.elements, 4 * block_threads), block_threads, 0, launch.stream>>>(o.elements, input(buffers, 0),
                                                                                                 input(buffers, 1), output(buffers, 0));
    check_launch("add");
  });
}
template <>
KernelPtr Kernels::make(const ConcatForward& op, const Limits&) {
  require_float(op, op.types);
  return kernel("a launch an input", op, concat_forward);
}
template <>
KernelPtr Kernels::make(const ConcatBackward& op, const Limits&) {
  require_float(op, op.forward.types);
  return kernel("element by element", op, concat_backward);
}
template <>
KernelPtr Kernels::make(const ShortcutForward& op, const Limits&) {
  return shortcut_kernel(op, shortcut_forward);
}
template <>
KernelPtr Kernels::make(const ShortcutBackward& op, const Limits&) {
  return shortcut_kernel(op, shortcut_backward);
}

}  // namespace fovea::cuda
