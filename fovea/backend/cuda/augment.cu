// From stored pixels to a normalised batch in one kernel, and from one layout or type to the other.
#include <array>
#include <span>

#include "fovea/backend/augment_pixels.h"
#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cuda/floats.cuh"
#include "fovea/backend/cuda/kernel.h"
#include "fovea/base/error.h"

namespace fovea::cuda {
namespace {

struct Batch {
  AugmentRule rule;
  int64_t n, c;
  int64_t elements;  // of one image
};

struct Source {
  const uint8_t* pixels;
  const int32_t* labels;
  const StepControl* control;
  const Normalisation* factors;  // per channel
};

constexpr int per_block = 4 * block_threads;

// A block writes per_block elements of one image. Every thread works out the placement: one for all would take as long.
template <class T>
__global__ void __launch_bounds__(block_threads) gather(Batch batch, Source source, T* y, int32_t* t) {
  const int64_t spans = (batch.elements + per_block - 1) / per_block;
  for (int64_t span = blockIdx.x; span < batch.n * spans; span += gridDim.x) {
    const int64_t i = span / spans, first = span % spans * per_block;
    const Placement placement = place_image(batch.rule, *source.control, i);
    if (first == 0 && threadIdx.x == 0) t[i] = placement.image < 0 ? ignored_label : source.labels[placement.image];
    const uint8_t* image = source.pixels + placement.image * batch.elements;
    const int64_t end = min(first + per_block, batch.elements);
    for (int64_t element = first + threadIdx.x; element < end; element += block_threads) {
      const int within = static_cast<int>(element), channels = static_cast<int>(batch.c), width = static_cast<int>(batch.rule.w);
      const int pixel = within / channels, c = within % channels;
      float value = 0;
      if (placement.image >= 0) {
        const int64_t from = source_pixel(batch.rule, placement, pixel / width, pixel % width);
        value = normalise(from < 0 ? uint8_t{0} : image[from * batch.c + c], source.factors[c]);
      }
      y[i * batch.elements + element] = narrowed<T>(value);
    }
  }
}

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
  const auto table = std::make_shared<DeviceTable>(std::as_bytes(std::span(factors)));
  return with_values(values, [&]<class T>(T) {
    return kernel("gathered in one kernel", op, [table](const Augment& o, const Buffers& buffers, const Launch& launch) {
      const Batch batch = {rule_of(o), o.n, o.c, o.h * o.w * o.c};
      const Source source = {input_of<uint8_t>(buffers, 0), input_of<int32_t>(buffers, 1), input_of<StepControl>(buffers, 2),
                             static_cast<const Normalisation*>(table->data())};
      const int64_t spans = (batch.elements + per_block - 1) / per_block;
      gather<<<blocks_for(batch.n * spans, 1), block_threads, 0, launch.stream>>>(batch, source, output_of<T>(buffers, 0),
                                                                                  output_of<int32_t>(buffers, 1));
      check_launch("augment");
    });
  });
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
