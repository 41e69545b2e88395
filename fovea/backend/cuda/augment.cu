// From stored pixels to a normalised batch in one kernel, and from one layout or type to the other.
#include <array>
#include <span>

#include "fovea/backend/augment_pixels.h"
#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cuda/dependent.cuh"
#include "fovea/backend/cuda/dependent_launch.h"
#include "fovea/backend/cuda/divider.h"
#include "fovea/backend/cuda/floats.cuh"
#include "fovea/backend/cuda/kernel.h"
#include "fovea/base/error.h"

namespace fovea::cuda {
namespace {

struct Batch {
  AugmentRule rule;
  int64_t n, c;
  int64_t elements;  // of one image
  Divider by_c, by_row;
};

struct Source {
  const uint8_t* pixels;
  const int32_t* labels;
  const StepControl* control;
  const Normalisation* factors;  // per channel
};

constexpr int per_thread = 32, per_block = per_thread * block_threads;

// source_pixel of augment_pixels.h, for element x of a row, of channel c: where rows are
// mirrored, the pixels run backwards and their channels forwards.
struct Row {
  int elements, first, step, mirrored;

  __device__ Row(const Batch& batch, const Placement& placement)
      : elements(static_cast<int>(batch.rule.w * batch.c)), mirrored(placement.mirror == Mirror::random) {
    first = static_cast<int>((placement.shift_w + (mirrored ? batch.rule.w - 1 : 0)) * batch.c);
    step = mirrored ? -1 : 1;
  }
  __device__ int source(int x, int c) const { return first + step * x + 2 * mirrored * c; }
};

// Past the L1 cache: an early kernel may find there what it held a step ago.
__device__ StepControl control_of(const Source& source) {
  alignas(uint4) StepControl control;
  for (size_t i = 0; i < sizeof control / sizeof(uint4); ++i)
    reinterpret_cast<uint4*>(&control)[i] = __ldcg(reinterpret_cast<const uint4*>(source.control) + i);
  return control;
}

enum class Start : uint8_t { in_turn, early };

// A block writes per_block elements of one image, `width` neighbours a thread at a time. One thread works out the placement. What comes
// behind it may rely on the end of what came in front of it, so an early one waits for that before it lets the next one start.
template <int width, class T>
__global__ void __launch_bounds__(block_threads) gather(Batch batch, Source source, Start start, T* y, int32_t* t) {
  if (start == Start::in_turn) let_next_kernel_start();
  __shared__ int64_t of_block[3];
  __shared__ Mirror mirror;
  const int64_t spans = (batch.elements + per_block - 1) / per_block;
  const int64_t i = blockIdx.x / spans, first = blockIdx.x % spans * per_block;
  if (threadIdx.x == 0) {
    const Placement found = place_image(batch.rule, control_of(source), i);
    of_block[0] = found.image, of_block[1] = found.shift_h, of_block[2] = found.shift_w, mirror = found.mirror;
    if (first == 0) t[i] = found.image < 0 ? ignored_label : source.labels[found.image];
  }
  __syncthreads();
  const Placement placement = {of_block[0], of_block[1], of_block[2], mirror};
  const uint8_t* image = source.pixels + placement.image * batch.elements;
  const int end = static_cast<int>(min(first + per_block, batch.elements));
  const Row row(batch, placement);
  for (int element = static_cast<int>(first) + static_cast<int>(threadIdx.x) * width; element < end; element += block_threads * width) {
    const Divided line = batch.by_row.divide(element);
    int h = line.quotient + static_cast<int>(placement.shift_h), x = line.remainder, c = batch.by_c.divide(element).remainder;
    float values[width] = {};
    if (placement.image >= 0) {
#pragma unroll
      for (int j = 0; j < width; ++j) {
        const int from = row.source(x, c);
        const bool inside = static_cast<unsigned>(from) < static_cast<unsigned>(row.elements) && static_cast<unsigned>(h) < batch.rule.h;
        values[j] = normalise(inside ? image[h * row.elements + from] : uint8_t{0}, source.factors[c]);
        c = c + 1 == batch.c ? 0 : c + 1;
        x = x + 1 == row.elements ? 0 : x + 1;
        h += x == 0;
      }
    }
    put<width>(values, y + i * batch.elements + element);
  }
  wait_for_kernel_before();
  let_next_kernel_start();
}

class GatherKernel final : public Kernel {
 public:
  GatherKernel(Augment op, DType values, const std::vector<Normalisation>& factors)
      : Kernel("cuda"), op_(std::move(op)), values_(values), factors_(std::as_bytes(std::span(factors))) {}
  std::string algorithm() const override { return "gathered in one kernel"; }
  void bind(Buffers buffers, void*) override { buffers_ = std::move(buffers); }
  void run(Stream& stream) override { launch(Start::in_turn, stream); }
  bool can_run_early() const override { return true; }
  void run_early(Stream& stream) override { launch(Start::early, stream); }

 private:
  void launch(Start start, Stream& stream) const {
    with_values(values_, [&]<class T>(T) {
      const int64_t elements = op_.h * op_.w * op_.c;
      const Batch batch = {
          rule_of(op_), op_.n, op_.c, elements, Divider(static_cast<int>(op_.c)), Divider(static_cast<int>(op_.w * op_.c))};
      const Source source = {input_of<uint8_t>(buffers_, 0), input_of<int32_t>(buffers_, 1), input_of<StepControl>(buffers_, 2),
                             static_cast<const Normalisation*>(factors_.data())};
      constexpr int most = most_abreast<T>;
      const auto run = elements % most == 0 ? gather<most, T> : gather<1, T>;
      const Grid grid = {static_cast<int>(op_.n * ceil_of(elements, per_block)), block_threads};
      T* const y = output_of<T>(buffers_, 0);
      int32_t* const t = output_of<int32_t>(buffers_, 1);
      if (start == Start::early) return launch_dependent("augment", run, grid, stream, batch, source, start, y, t);
      run<<<static_cast<unsigned>(grid.blocks), block_threads, 0, handle_of(stream)>>>(batch, source, start, y, t);
      check_launch("augment");
    });
  }

  Augment op_;
  DType values_;
  DeviceTable factors_;
  Buffers buffers_;
};

struct Permutation {
  int64_t sizes[4], strides[4];  // in the order of the axes of y; the strides are those of x
};

template <class T>
__global__ void __launch_bounds__(block_threads) permute(Permutation by, int64_t elements, const T* x, T* y) {
  for (int64_t i = int64_t{blockIdx.x} * block_threads + threadIdx.x; i < elements; i += int64_t{gridDim.x} * block_threads) {
    int64_t rest = i, from = 0;
#pragma unroll
    for (int axis = 3; axis >= 0; --axis) {
      from += rest % by.sizes[axis] * by.strides[axis];
      rest /= by.sizes[axis];
    }
    y[i] = x[from];
  }
}

template <class From, class To>
__global__ void __launch_bounds__(block_threads) round_elements(int64_t elements, const From* x, To* y) {
  constexpr int width = 4;
  const int64_t thread = int64_t{blockIdx.x} * block_threads + threadIdx.x, threads = int64_t{gridDim.x} * block_threads;
  const int64_t whole = elements / width;
  for (int64_t i = thread; i < whole; i += threads) {
    float values[width];
    copy<width>(x + i * width, values);
    put<width>(values, y + i * width);
  }
  for (int64_t i = width * whole + thread; i < elements; i += threads) y[i] = narrowed<To>(widened(x[i]));
}

// The axes of `tag` as positions within (n, h, w, c).
std::array<int, 4> axes_of(const std::string& tag) {
  constexpr std::string_view letters = "nhwc";
  std::string sorted = tag;
  std::sort(sorted.begin(), sorted.end());
  if (sorted != "chnw") throw Error(ExitCode::internal, "`cuda` has no layout `" + tag + "`: only orders of n, h, w and c");
  std::array<int, 4> axes{};
  for (size_t i = 0; i < 4; ++i) axes[i] = static_cast<int>(letters.find(tag[i]));
  return axes;
}

Permutation permutation(const Reorder& op) {
  const std::array<int, 4> from = axes_of(op.from), to = axes_of(op.to);
  int64_t strides[4], stride = 1;  // of x, by axis of the tensor
  for (size_t i = 4; i-- > 0; stride *= op.shape[from[i]]) strides[from[i]] = stride;
  Permutation made;
  for (size_t i = 0; i < 4; ++i) {
    made.sizes[i] = op.shape[to[i]];
    made.strides[i] = strides[to[i]];
  }
  return made;
}

}  // namespace

template <>
KernelPtr Kernels::make(const Augment& op, const Limits&) {
  const DType values = require_values(op);
  const size_t channels = static_cast<size_t>(op.c);
  if (op.mean.size() != channels || op.deviation.size() != channels)
    throw Error(ExitCode::internal, "augment of " + std::to_string(channels) + " channels has " + std::to_string(op.mean.size()) +
                                        " means and " + std::to_string(op.deviation.size()) + " deviations");
  require_countable(op, op.h * op.w * op.c);
  std::vector<Normalisation> factors;
  for (size_t c = 0; c < channels; ++c) factors.push_back(normalisation(op.mean[c], op.deviation[c]));
  return std::make_unique<GatherKernel>(op, values, factors);
}

template <>
KernelPtr Kernels::make(const Reorder& op, const Limits&) {
  return with_values(require_values(op), [&]<class T>(T) {
    return kernel("element by element", op, [by = permutation(op)](const Reorder& o, const Buffers& buffers, const Launch& launch) {
      const int64_t elements = o.shape.elements();
      permute<<<blocks_for(elements), block_threads, 0, launch.stream>>>(by, elements, input_of<T>(buffers, 0), output_of<T>(buffers, 0));
      check_launch("reorder");
    });
  });
}

template <>
KernelPtr Kernels::make(const Convert& op, const Limits&) {
  return with_values(op.types.x, [&]<class From>(From) {
    return with_values(op.types.y, [&]<class To>(To) {
      return kernel("element by element", op, [](const Convert& o, const Buffers& buffers, const Launch& launch) {
        round_elements<<<blocks_for(o.elements, 4 * block_threads), block_threads, 0, launch.stream>>>(
            o.elements, input_of<From>(buffers, 0), output_of<To>(buffers, 0));
        check_launch("convert");
      });
    });
  });
}

}  // namespace fovea::cuda
