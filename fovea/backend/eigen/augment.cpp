// From stored pixels to a normalised batch, line by line, and from one layout to the other.
#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "fovea/backend/augment_pixels.h"
#include "fovea/backend/eigen/backend.h"
#include "fovea/backend/eigen/clones.h"
#include "fovea/backend/eigen/kernel.h"

namespace fovea::eigen {
namespace {

// Lines are normalised some at a time, so that loops fill vectors also where they are short.
int64_t lines_at_a_time(const Augment& op) { return std::clamp<int64_t>(512 / (op.w * op.c), 1, op.h); }

// The factors of each element of such a block of lines, and its pixels where they have to be gathered.
struct Block {
  int64_t lines, elements;
  float* scale;
  float* shift;
  uint8_t* pixels;
};

Block block_in(const Augment& op, void* workspace) {
  const int64_t lines = lines_at_a_time(op), elements = lines * op.w * op.c;
  float* scale = static_cast<float*>(workspace);
  const Block block = {lines, elements, scale, scale + elements, reinterpret_cast<uint8_t*>(scale + 2 * elements)};
  for (int64_t i = 0; i < elements; ++i) {
    const size_t c = static_cast<size_t>(i % op.c);
    const Normalisation factors = normalisation(op.mean[c], op.deviation[c]);
    block.scale[i] = factors.scale;
    block.shift[i] = factors.shift;
  }
  return block;
}

FOVEA_CLONES void normalise_block(int64_t elements, const uint8_t* __restrict pixels, const float* __restrict scale,
                                  const float* __restrict shift, float* __restrict y) {
#pragma omp simd
  for (int64_t i = 0; i < elements; ++i) y[i] = __builtin_fmaf(static_cast<float>(pixels[i]), scale[i], shift[i]);
}

// One line of the output as the placement of its image has it, black where that lies outside.
void gather_line(const Augment& op, const Placement& placement, int64_t h, const uint8_t* image, uint8_t* line) {
  const AugmentRule rule = rule_of(op);
  std::memset(line, 0, static_cast<size_t>(op.w * op.c));
  if (placement.mirror == Mirror::none) {
    const int64_t begin = std::clamp<int64_t>(-placement.shift_w, 0, op.w),
                  end = std::clamp<int64_t>(op.w - placement.shift_w, begin, op.w);
    const int64_t source = begin < end ? source_pixel(rule, placement, h, begin) : -1;
    if (source >= 0) std::memcpy(line + begin * op.c, image + source * op.c, static_cast<size_t>((end - begin) * op.c));
    return;
  }
  for (int64_t w = 0; w < op.w; ++w) {
    const int64_t source = source_pixel(rule, placement, h, w);
    if (source < 0) continue;
    for (int64_t c = 0; c < op.c; ++c) line[w * op.c + c] = image[source * op.c + c];
  }
}

// The pixels of some output lines from h on: where they lie, or gathered into the block where they are moved or mirrored.
const uint8_t* pixels_of(const Augment& op, const Placement& placement, const Range& lines, const uint8_t* image, const Block& block) {
  const int64_t line = op.w * op.c;
  if (placement.shift_h == 0 && placement.shift_w == 0 && placement.mirror == Mirror::none) return image + lines.first * line;
  for (int64_t i = 0; i < lines.count; ++i) gather_line(op, placement, lines.first + i, image, block.pixels + i * line);
  return block.pixels;
}

// The axes of the tensor in the order of `tag`; none if it is no order of n, h, w and c.
std::optional<std::array<int, 4>> axes_of(std::string_view tag) {
  constexpr std::string_view letters = "nhwc";
  std::array<int, 4> axes{};
  if (tag.size() != 4) return std::nullopt;
  for (size_t i = 0; i < 4; ++i) {
    const size_t axis = letters.find(tag[i]);
    if (axis == std::string_view::npos || tag.find(tag[i]) != i) return std::nullopt;
    axes[i] = static_cast<int>(axis);
  }
  return axes;
}

// Sizes and strides of x in the order of the axes of y.
struct Permutation {
  std::array<int64_t, 4> sizes, strides;
};

Permutation permutation(const Reorder& op) {
  const std::array<int, 4> from = *axes_of(op.from), to = *axes_of(op.to);
  std::array<int64_t, 4> strides{};  // of x, by axis
  int64_t stride = 1;
  for (size_t i = 4; i-- > 0; stride *= op.shape[from[i]]) strides[static_cast<size_t>(from[i])] = stride;
  Permutation result;
  for (size_t i = 0; i < 4; ++i) {
    result.sizes[i] = op.shape[to[i]];
    result.strides[i] = strides[static_cast<size_t>(to[i])];
  }
  return result;
}

}  // namespace

template <>
Units units_of(const Augment& op) {
  const int64_t elements = lines_at_a_time(op) * op.w * op.c;
  return {op.n, 2 * op.h * op.w * op.c, 2 * elements + (elements + 3) / 4};
}
template <>
void run_part(const Augment& op, const Range& images, const Buffers& buffers, void* workspace) {
  const uint8_t* pixels = buffers.in[0].as<uint8_t>().data();
  const int32_t* labels = buffers.in[1].as<int32_t>().data();
  const StepControl& control = buffers.in[2].as_struct<StepControl>();
  const int64_t line = op.w * op.c, image_floats = op.h * line;
  float* y = output(buffers, 0) + images.first * image_floats;
  int32_t* t = buffers.out[1].as<int32_t>().data();
  const Block block = block_in(op, workspace);
  for (int64_t n = images.first; n < images.first + images.count; ++n, y += image_floats) {
    const Placement placement = place_image(rule_of(op), control, n);
    t[n] = placement.image < 0 ? ignored_label : labels[placement.image];
    if (placement.image < 0) {
      std::fill_n(y, image_floats, 0.0f);
      continue;
    }
    const uint8_t* image = pixels + placement.image * image_floats;
    for (int64_t h = 0; h < op.h; h += block.lines) {
      const Range lines = {h, std::min(block.lines, op.h - h)};
      normalise_block(lines.count * line, pixels_of(op, placement, lines, image, block), block.scale, block.shift, y + h * line);
    }
  }
}

template <>
Units units_of(const Reorder& op) {
  const Permutation by = permutation(op);
  return {by.sizes[0], 4 * by.sizes[1] * by.sizes[2] * by.sizes[3]};
}
template <>
void run_part(const Reorder& op, const Range& range, const Buffers& buffers, void*) {
  const Permutation by = permutation(op);
  const float* x = input(buffers, 0);
  float* y = output(buffers, 0) + range.first * by.sizes[1] * by.sizes[2] * by.sizes[3];
  for (int64_t i = range.first; i < range.first + range.count; ++i)
    for (int64_t j = 0; j < by.sizes[1]; ++j)
      for (int64_t k = 0; k < by.sizes[2]; ++k) {
        const float* from = x + i * by.strides[0] + j * by.strides[1] + k * by.strides[2];
        for (int64_t l = 0; l < by.sizes[3]; ++l) *y++ = from[l * by.strides[3]];
      }
}

bool has_loops(const Augment& op) {
  const size_t channels = static_cast<size_t>(op.c);
  return op.types.y == DType::f32 && op.mean.size() == channels && op.deviation.size() == channels;
}
bool has_loops(const Reorder& op) { return op.dtype == DType::f32 && axes_of(op.from) && axes_of(op.to); }

KernelPtr EigenBackend::make(const Augment& op, const Limits& limits) {
  return has_loops(op) ? loops(op) : ReferenceBackend::make(op, limits);
}
KernelPtr EigenBackend::make(const Reorder& op, const Limits& limits) {
  return has_loops(op) ? loops(op) : ReferenceBackend::make(op, limits);
}

}  // namespace fovea::eigen
