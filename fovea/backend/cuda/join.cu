// Where branches meet: sums, concatenations, and shortcuts past layers that shrink the image.
#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cuda/divider.h"
#include "fovea/backend/cuda/floats.cuh"
#include "fovea/backend/cuda/kernel.h"

namespace fovea::cuda {
namespace {

template <class T>
__global__ void __launch_bounds__(block_threads) add_elements(int64_t elements, const T* a, const T* b, T* y) {
  constexpr int width = most_abreast<T>;
  const int64_t thread = int64_t{blockIdx.x} * block_threads + threadIdx.x, threads = int64_t{gridDim.x} * block_threads;
  const int64_t whole = elements / width;
  for (int64_t i = thread; i < whole; i += threads) {
    float left[width], right[width];
    copy<width>(a + i * width, left);
    copy<width>(b + i * width, right);
#pragma unroll
    for (int j = 0; j < width; ++j) left[j] += right[j];
    put<width>(left, y + i * width);
  }
  for (int64_t i = width * whole + thread; i < elements; i += threads) y[i] = narrowed<T>(widened(a[i]) + widened(b[i]));
}

// Some channels of rows that have more of them, from here to there.
struct Slice {
  int64_t rows;
  int channels;
  int64_t from_stride, to_stride;
  Into into;
};

// `width` channels at a time, where all counts and places of channels are multiples of it.
template <int width, class T>
__global__ void __launch_bounds__(block_threads) copy_slice(Slice slice, const T* from, T* to) {
  const int abreast = slice.channels / width;
  const int64_t pieces = slice.rows * abreast;
  for (int64_t i = int64_t{blockIdx.x} * block_threads + threadIdx.x; i < pieces; i += int64_t{gridDim.x} * block_threads) {
    const int64_t row = i / abreast, c = (i - row * abreast) * width;
    T* place = to + row * slice.to_stride + c;
    float values[width], before[width];
    copy<width>(from + row * slice.from_stride + c, values);
    if (slice.into == Into::add) {
      copy<width>(place, before);
#pragma unroll
      for (int j = 0; j < width; ++j) values[j] += before[j];
    }
    put<width>(values, place);
  }
}

template <class T>
void launch_copy(const Slice& slice, const T* from, T* to, const Launch& launch) {
  constexpr int most = most_abreast<T>;
  const auto is_wide = [](int64_t count) { return count % most == 0; };
  const auto is_aligned = [](const T* place) { return reinterpret_cast<uintptr_t>(place) % 16 == 0; };
  const bool wide = is_wide(slice.channels) && is_wide(slice.from_stride) && is_wide(slice.to_stride) && is_aligned(from) && is_aligned(to);
  const int64_t pieces = slice.rows * slice.channels / (wide ? most : 1);
  if (wide)
    copy_slice<most><<<blocks_for(pieces), block_threads, 0, launch.stream>>>(slice, from, to);
  else
    copy_slice<1><<<blocks_for(pieces), block_threads, 0, launch.stream>>>(slice, from, to);
  check_launch("copy_slice");
}

template <class T>
void concat_forward(const ConcatForward& op, const Buffers& buffers, const Launch& launch) {
  for (int part = 0; part < static_cast<int>(op.channels.size()); ++part) {
    const int64_t channels = op.channels[static_cast<size_t>(part)];
    launch_copy<T>({op.rows, static_cast<int>(channels), channels, op.c(), Into::overwrite},
                   input_of<T>(buffers, static_cast<size_t>(part)), output_of<T>(buffers, 0) + op.first(part), launch);
  }
}

template <class T>
void concat_backward(const ConcatBackward& op, const Buffers& buffers, const Launch& launch) {
  const ConcatForward& forward = op.forward;
  const int64_t channels = forward.channels[static_cast<size_t>(op.part)];
  launch_copy<T>({forward.rows, static_cast<int>(channels), forward.c(), channels, op.into},
                 input_of<T>(buffers, 0) + forward.first(op.part), output_of<T>(buffers, 0), launch);
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

template <class T>
__global__ void __launch_bounds__(block_threads) take_shortcut(Shortcut shape, const T* x, T* y) {
  const int64_t element = int64_t{blockIdx.x} * block_threads + threadIdx.x;
  if (element >= int64_t{shape.images} * shape.p * shape.q * shape.k) return;
  const Divided pixel = shape.by_k.divide(static_cast<int>(element)), line = shape.by_q.divide(pixel.quotient);
  const Divided image = shape.by_p.divide(line.quotient);
  const int c = pixel.remainder - shape.first;
  const int h = image.remainder * shape.stride, w = line.remainder * shape.stride;
  y[element] = c >= 0 && c < shape.c ? x[((image.quotient * shape.h + h) * shape.w + w) * shape.c + c] : narrowed<T>(0);
}

template <class T>
__global__ void __launch_bounds__(block_threads) return_shortcut(Shortcut shape, Into into, const T* dy, T* dx) {
  const int64_t element = int64_t{blockIdx.x} * block_threads + threadIdx.x;
  if (element >= int64_t{shape.images} * shape.h * shape.w * shape.c) return;
  const Divided pixel = shape.by_c.divide(static_cast<int>(element)), line = shape.by_w.divide(pixel.quotient);
  const Divided image = shape.by_h.divide(line.quotient);
  const Divided p = shape.by_stride.divide(image.remainder), q = shape.by_stride.divide(line.remainder);
  float value = 0;
  if (p.remainder == 0 && q.remainder == 0)
    value = widened(dy[((image.quotient * shape.p + p.quotient) * shape.q + q.quotient) * shape.k + shape.first + pixel.remainder]);
  dx[element] = narrowed<T>(into == Into::add ? widened(dx[element]) + value : value);
}

int64_t x_elements(const ShortcutShape& shape) { return shape.h * shape.w * shape.c; }
int64_t y_elements(const ShortcutShape& shape) { return shape.p() * shape.q() * shape.k; }

template <class T>
void shortcut_forward(const ShortcutForward& op, const Buffers& buffers, const Launch& launch) {
  const int64_t in = x_elements(op.shape), out = y_elements(op.shape);
  for_image_ranges(op.shape.n, std::max(in, out), [&](int64_t first, int images) {
    take_shortcut<<<blocks_of_each(images * out), block_threads, 0, launch.stream>>>(
        Shortcut(op.shape, images), input_of<T>(buffers, 0) + first * in, output_of<T>(buffers, 0) + first * out);
    check_launch("shortcut_forward");
  });
}

template <class T>
void shortcut_backward(const ShortcutBackward& op, const Buffers& buffers, const Launch& launch) {
  const int64_t in = x_elements(op.shape), out = y_elements(op.shape);
  for_image_ranges(op.shape.n, std::max(in, out), [&](int64_t first, int images) {
    return_shortcut<<<blocks_of_each(images * in), block_threads, 0, launch.stream>>>(
        Shortcut(op.shape, images), op.into, input_of<T>(buffers, 0) + first * out, output_of<T>(buffers, 0) + first * in);
    check_launch("shortcut_backward");
  });
}

template <class Op>
DType require_shortcut(const Op& op) {
  require_countable(op, std::max(x_elements(op.shape), y_elements(op.shape)));
  return require_values(op);
}

}  // namespace

template <>
KernelPtr Kernels::make(const Add& op, const Limits&) {
  return with_values(require_values(op), [&]<class T>(T) {
    return kernel("element by element", op, [](const Add& o, const Buffers& buffers, const Launch& launch) {
      add_elements<<<blocks_for(o.elements, most_abreast<T> * block_threads), block_threads, 0, launch.stream>>>(
          o.elements, input_of<T>(buffers, 0), input_of<T>(buffers, 1), output_of<T>(buffers, 0));
      check_launch("add");
    });
  });
}
template <>
KernelPtr Kernels::make(const ConcatForward& op, const Limits&) {
  return with_values(require_values(op), [&]<class T>(T) { return kernel("a launch an input", op, concat_forward<T>); });
}
template <>
KernelPtr Kernels::make(const ConcatBackward& op, const Limits&) {
  return with_values(require_values(op), [&]<class T>(T) { return kernel("element by element", op, concat_backward<T>); });
}
template <>
KernelPtr Kernels::make(const ShortcutForward& op, const Limits&) {
  return with_values(require_shortcut(op), [&]<class T>(T) { return kernel("element by element", op, shortcut_forward<T>); });
}
template <>
KernelPtr Kernels::make(const ShortcutBackward& op, const Limits&) {
  return with_values(require_shortcut(op), [&]<class T>(T) { return kernel("element by element", op, shortcut_backward<T>); });
}

}  // namespace fovea::cuda
