// A batch norm with relu and the max pooling behind them: the normalised values are not written. resnet18's first one, 256 images of 112 x
// 112 x 64 in bf16 on an H100: 640 us one after the other.
#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cuda/claims.h"
#include "fovea/backend/cuda/divider.h"
#include "fovea/backend/cuda/floats.cuh"
#include "fovea/backend/cuda/norm_parts.h"
#include "fovea/backend/cuda/pool_cells.h"

namespace fovea::cuda {
namespace {

constexpr int lines_per_thread = 4;

struct PoolSizes {
  int h, w, c, p, q, stride, pad_top, pad_left;
  int pieces, strips;  // of channels in a line of outputs; of lines in an image
  Divider by_c, by_strips;

  PoolSizes(const PoolShape& shape, int width)
      : h(static_cast<int>(shape.h)),
        w(static_cast<int>(shape.w)),
        c(static_cast<int>(shape.c)),
        p(static_cast<int>(shape.p())),
        q(static_cast<int>(shape.q())),
        stride(static_cast<int>(shape.window.stride_h)),
        pad_top(static_cast<int>(shape.window.pad_top)),
        pad_left(static_cast<int>(shape.window.pad_left)),
        pieces(q * c / width),
        strips(static_cast<int>(ceil_of(p, lines_per_thread))),
        by_c(c / width),
        by_strips(strips) {}
};

// A thread pools some channels of a column, line by line. Padding is never the largest, and of equal values the first one is.
template <int extent, int width, class T>
__global__ void __launch_bounds__(block_threads)
    normalise_and_pool(PoolSizes sizes, Normal normal, const T* __restrict__ x, T* __restrict__ y, uint8_t* __restrict__ argmax) {
  const int piece = static_cast<int>(blockIdx.x) * block_threads + static_cast<int>(threadIdx.x);
  if (piece >= sizes.pieces) return;
  const Divided pixel = sizes.by_c.divide(piece);
  const Divided strip = sizes.by_strips.divide(static_cast<int>(blockIdx.y));
  const int c = pixel.remainder * width, first_w = pixel.quotient * sizes.stride - sizes.pad_left;
  float mean[width], factor[width], shift[width];
#pragma unroll
  for (int j = 0; j < width; ++j) {
    mean[j] = normal.mean[c + j];
    factor[j] = normal.scale[c + j] / sqrtf(normal.variance[c + j] + normal.epsilon);
    shift[j] = normal.shift[c + j];
  }
  const T* image = x + int64_t{strip.quotient} * sizes.h * sizes.w * sizes.c + c;
  const int last = min(sizes.p, (strip.remainder + 1) * lines_per_thread);
  for (int p = strip.remainder * lines_per_thread; p < last; ++p) {
    float largest[width];
    uint8_t places[width] = {};
#pragma unroll
    for (int j = 0; j < width; ++j) largest[j] = -1;  // below all that relu gives
#pragma unroll
    for (int i = 0; i < extent * extent; ++i) {
      const int h = p * sizes.stride - sizes.pad_top + i / extent, w = first_w + i % extent;
      if (static_cast<unsigned>(h) >= static_cast<unsigned>(sizes.h) || static_cast<unsigned>(w) >= static_cast<unsigned>(sizes.w))
        continue;
      float values[width];
      copy<width>(image + (h * sizes.w + w) * sizes.c, values);
#pragma unroll
      for (int j = 0; j < width; ++j) {
        const float sum = fmaf(values[j] - mean[j], factor[j], shift[j]);
        const float value = widened(narrowed<T>(sum <= 0 ? 0 : sum));  // NaN stays NaN
        const bool replaces = !(value <= largest[j]) && !isnan(largest[j]);
        largest[j] = replaces ? value : largest[j];
        places[j] = replaces ? static_cast<uint8_t>(i) : places[j];
      }
    }
    const int64_t to = ((int64_t{strip.quotient} * sizes.p + p) * sizes.q + pixel.quotient) * sizes.c + c;
#pragma unroll
    for (int j = 0; j < width; ++j) largest[j] = largest[j] < 0 ? 0 : largest[j];  // of a window of padding alone
    put<width>(largest, y + to);
    using Places = typename Access<width>::Type;
    Places bits;
    __builtin_memcpy(&bits, places, sizeof bits);
    *reinterpret_cast<Places*>(argmax + to) = bits;
  }
}

template <int extent, class T>
void launch(const PoolShape& shape, const Normal& normal, const Buffers& buffers, cudaStream_t stream) {
  constexpr int width = most_abreast<T>;
  const PoolSizes sizes(shape, width);
  const dim3 blocks(blocks_of_each(sizes.pieces), static_cast<unsigned>(shape.n * sizes.strips));
  normalise_and_pool<extent, width><<<blocks, block_threads, 0, stream>>>(sizes, normal, input_of<T>(buffers, 0), output_of<T>(buffers, 0),
                                                                          output_of<uint8_t>(buffers, 3));
  check_launch("normalise_and_pool");
}

}  // namespace

KernelPtr batch_norm_with_pool(const BatchNormForward& op, const MaxPoolForward& pool) {
  const PoolShape& shape = pool.shape;
  constexpr int64_t most_lines = 65535;  // of a grid
  if (!has_cells(shape) || shape.window.pad_top >= shape.window.r || shape.n * ceil_of(shape.p(), lines_per_thread) > most_lines)
    return nullptr;
  return with_values(require_values(op), [&]<class T>(T) -> KernelPtr {
    if (op.c % most_abreast<T> != 0) return nullptr;
    const auto run = [shape](const BatchNormForward& o, const Buffers& buffers, const Launch& launch) {
      launch_moments(o, buffers, launch);
      const Normal normal = {input(buffers, 1), input(buffers, 2), output(buffers, 1), output(buffers, 2), o.epsilon};
      if (shape.window.r == 2)
        cuda::launch<2, T>(shape, normal, buffers, launch.stream);
      else
        cuda::launch<3, T>(shape, normal, buffers, launch.stream);
    };
    return kernel("pooled in the second pass", op, run, bytes_of_moments(op));
  });
}

}  // namespace fovea::cuda
