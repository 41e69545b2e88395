// A batch norm with relu and the max pooling behind them: the normalised values are not written. resnet18's first one, 256 images of 112 x
// 112 x 64 in bf16 on an H100: 640 us one after the other.
#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cuda/claims.h"
#include "fovea/backend/cuda/convolution_moments.h"
#include "fovea/backend/cuda/divider.h"
#include "fovea/backend/cuda/floats.cuh"
#include "fovea/backend/cuda/norm_rows.cuh"
#include "fovea/backend/cuda/pool_cells.h"

namespace fovea::cuda {
namespace {

constexpr int lines_per_thread = 4;

template <class T>
__device__ uint16_t bits_of(T value) {
  uint16_t bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  return bits;
}
template <class T>
__device__ T of_bits(uint16_t bits) {
  T value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

// All of them in one access.
template <int width, class T>
__device__ void move(const T (&values)[width], T* to) {
  typename Access<width * sizeof(T)>::Type bits;
  __builtin_memcpy(&bits, values, sizeof bits);
  *reinterpret_cast<decltype(bits)*>(to) = bits;
}

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

// The largest of some values and the first place where it stands. Values are at least 0, so that their bits order them, NaN above all
// others: of 16-bit numbers value and place are one number.
template <int width, class T>
struct Largest {
  static_assert(sizeof(T) == 2);
  uint32_t keys[width] = {};

  __device__ void add(int place, const float (&values)[width]) {
    const uint32_t rest = 0xFF - static_cast<uint32_t>(place);  // earlier places are larger
#pragma unroll
    for (int j = 0; j < width; j += 2) {
      const T low = narrowed<T>(values[j]), high = narrowed<T>(values[j + 1]);
      keys[j] = max(keys[j], (static_cast<uint32_t>(bits_of(low)) & 0x7FFF) << 16 | rest);  // -0 is 0
      keys[j + 1] = max(keys[j + 1], (static_cast<uint32_t>(bits_of(high)) & 0x7FFF) << 16 | rest);
    }
  }
  __device__ void store(T* y, uint8_t* argmax) const {
    T values[width];
    uint8_t places[width];
#pragma unroll
    for (int j = 0; j < width; ++j) {
      values[j] = of_bits<T>(static_cast<uint16_t>(keys[j] >> 16));
      places[j] = keys[j] == 0 ? 0 : static_cast<uint8_t>(0xFF - (keys[j] & 0xFF));  // 0: a window of padding alone
    }
    move(values, y);
    move(places, argmax);
  }
};
template <int width>
struct Largest<width, float> {
  float values_[width] = {};
  uint8_t places[width] = {};
  bool any = false;

  __device__ void add(int place, const float (&values)[width]) {
#pragma unroll
    for (int j = 0; j < width; ++j) {
      const bool replaces = !any || (!(values[j] <= values_[j]) && !isnan(values_[j]));
      values_[j] = replaces ? values[j] : values_[j];
      places[j] = replaces ? static_cast<uint8_t>(place) : places[j];
    }
    any = true;
  }
  __device__ void store(float* y, uint8_t* argmax) const {
    move(values_, y);
    move(places, argmax);
  }
};

// A thread pools some channels of a column, line by line. Padding is never the largest.
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
    Largest<width, T> largest;
    RowPiece<width, T> pieces[extent * extent];
    const auto inside = [&](int i) {
      const int h = p * sizes.stride - sizes.pad_top + i / extent, w = first_w + i % extent;
      return static_cast<unsigned>(h) < static_cast<unsigned>(sizes.h) && static_cast<unsigned>(w) < static_cast<unsigned>(sizes.w);
    };
#pragma unroll
    for (int i = 0; i < extent * extent; ++i)
      if (inside(i)) pieces[i].load(image + ((p * sizes.stride - sizes.pad_top + i / extent) * sizes.w + first_w + i % extent) * sizes.c);
#pragma unroll
    for (int i = 0; i < extent * extent; ++i) {
      if (!inside(i)) continue;
      float values[width];
      pieces[i].widen(values);
#pragma unroll
      for (int j = 0; j < width; ++j) {
        const float sum = fmaf(values[j] - mean[j], factor[j], shift[j]);
        values[j] = sum <= 0 ? 0 : sum;  // NaN stays NaN
      }
      largest.add(i, values);
    }
    const int64_t to = ((int64_t{strip.quotient} * sizes.p + p) * sizes.q + pixel.quotient) * sizes.c + c;
    largest.store(y + to, argmax + to);
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

// in: x scale shift   out: y of the pooling, mean variance argmax
template <class T>
void launch_second_pass(const PoolShape& shape, float epsilon, const Buffers& buffers, cudaStream_t stream) {
  const Normal normal = {input(buffers, 1), input(buffers, 2), output(buffers, 1), output(buffers, 2), epsilon};
  if (shape.window.r == 2)
    launch<2, T>(shape, normal, buffers, stream);
  else
    launch<3, T>(shape, normal, buffers, stream);
}

bool can_be_pooled(const PoolShape& shape) {
  constexpr int64_t most_lines = 65535;  // of a grid
  return has_cells(shape) && shape.window.pad_top < shape.window.r && shape.n * ceil_of(shape.p(), lines_per_thread) <= most_lines &&
         shape.h * shape.w * shape.c <= largest_count;
}

// The moments by the convolution in front.
template <class T>
class ConvolutionNormAndPool final : public Kernel {
 public:
  ConvolutionNormAndPool(ConvolutionAndMoments convolution, const PoolShape& pool)
      : Kernel("cuda"), convolution_(std::move(convolution)), pool_(pool) {}

  std::string algorithm() const override { return convolution_.algorithm() + "; pooled in the second pass"; }
  size_t workspace_bytes() const override { return convolution_.workspace_bytes(); }
  void bind(Buffers buffers, void* workspace) override {
    const std::span<const Tensor> in(buffers.in), out(buffers.out);
    const std::vector<Tensor> of_convolution = {out[0], out[1], out[2], out[4]};
    convolution_.bind(in.first(2), of_convolution, workspace);
    norm_ = {{out[4], in[2], in[3]}, {out[0], out[1], out[2], out[3]}};
  }
  void run(Stream& stream) override {
    convolution_.run(stream);
    launch_second_pass<T>(pool_, convolution_.norm().epsilon, norm_, handle_of(stream));
  }

 private:
  ConvolutionAndMoments convolution_;
  PoolShape pool_;
  Buffers norm_;
};

}  // namespace

KernelPtr batch_norm_with_pool(const BatchNormForward& op, const MaxPoolForward& pool) {
  const PoolShape& shape = pool.shape;
  if (!can_be_pooled(shape)) return nullptr;
  return with_values(require_values(op), [&]<class T>(T) -> KernelPtr {
    if (op.c % most_abreast<T> != 0) return nullptr;
    const auto run = [shape](const BatchNormForward& o, const Buffers& buffers, const Launch& launch) {
      launch_moments(o, buffers, launch);
      launch_second_pass<T>(shape, o.epsilon, buffers, launch.stream);
    };
    return kernel("pooled in the second pass", op, run, bytes_of_moments(op));
  });
}

KernelPtr conv2d_with_batch_norm_and_pool(const NormedConv2d& normed, const MaxPoolForward& pool) {
  if (!can_be_pooled(pool.shape)) return nullptr;
  return with_values(require_values(normed.norm), [&]<class T>(T) -> KernelPtr {
    if (normed.norm.c % most_abreast<T> != 0) return nullptr;
    std::optional<ConvolutionAndMoments> convolution = convolution_and_moments(normed.conv2d, normed.norm);
    if (!convolution) return nullptr;
    return std::make_unique<ConvolutionNormAndPool<T>>(std::move(*convolution), pool.shape);
  });
}

}  // namespace fovea::cuda
