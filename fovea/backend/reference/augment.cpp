// From stored pixels to a normalised batch, and from one layout or type to the other.
#include <algorithm>
#include <array>

#include "fovea/backend/augment_pixels.h"
#include "fovea/backend/reference/backend.h"
#include "fovea/backend/reference/loops.h"

namespace fovea::reference {
namespace {

template <class T>
void augment(const Augment& op, const Buffers& buffers, void*) {
  const std::span<const uint8_t> pixels = buffers.in[0].as<uint8_t>();
  const std::span<const int32_t> labels = buffers.in[1].as<int32_t>();
  const StepControl& control = buffers.in[2].as_struct<StepControl>();
  const auto y = view<T>(buffers.out[0], {op.n, op.h, op.w, op.c});
  const std::span<int32_t> t = buffers.out[1].as<int32_t>();
  const AugmentRule rule = rule_of(op);
  for (int64_t n = 0; n < op.n; ++n) {
    const Placement placement = place_image(rule, control, n);
    t[static_cast<size_t>(n)] = placement.image < 0 ? ignored_label : labels[static_cast<size_t>(placement.image)];
    for_each({1, op.h, op.w, op.c}, [&](int64_t, int64_t h, int64_t w, int64_t c) {
      T& place = y(n, h, w, c);
      place = 0;
      if (placement.image < 0) return;
      const int64_t source = source_pixel(rule, placement, h, w);
      const int64_t element = (placement.image * op.h * op.w + source) * op.c + c;
      const uint8_t pixel = source < 0 ? uint8_t{0} : pixels[static_cast<size_t>(element)];
      place = static_cast<T>(normalise(pixel, normalisation(op.mean[static_cast<size_t>(c)], op.deviation[static_cast<size_t>(c)])));
    });
  }
}

// The axes of `tag` as positions within (n, h, w, c).
std::array<int, 4> axes_of(const std::string& tag) {
  constexpr std::string_view letters = "nhwc";
  std::string sorted = tag;
  std::sort(sorted.begin(), sorted.end());
  if (sorted != "chnw") throw Error(ExitCode::internal, fmt::format("`reference` has no layout `{}`: only orders of n, h, w and c", tag));
  std::array<int, 4> axes{};
  for (size_t i = 0; i < 4; ++i) axes[i] = static_cast<int>(letters.find(tag[i]));
  return axes;
}

struct Permutation {
  std::array<int, 4> from, to;
};

int64_t offset(const Shape& shape, const std::array<int, 4>& axes, const std::array<int64_t, 4>& index) {
  int64_t offset = 0;
  for (const int axis : axes) offset = offset * shape[axis] + index[static_cast<size_t>(axis)];
  return offset;
}

template <class T>
KernelPtr reorder(const Reorder& op) {
  const Permutation permutation{axes_of(op.from), axes_of(op.to)};
  return host_kernel("reference", "loops", op, [permutation](const Reorder& reorder, const Buffers& buffers, void*) {
    const T* x = static_cast<const T*>(buffers.in[0].data);
    T* y = static_cast<T*>(buffers.out[0].data);
    for_each(reorder.shape, [&](int64_t n, int64_t h, int64_t w, int64_t c) {
      y[offset(reorder.shape, permutation.to, {n, h, w, c})] = x[offset(reorder.shape, permutation.from, {n, h, w, c})];
    });
  });
}

}  // namespace

template <>
KernelPtr Kernels::make(const Augment& op, const Limits&) {
  const size_t channels = static_cast<size_t>(op.c);
  if (op.mean.size() != channels || op.deviation.size() != channels)
    throw Error(ExitCode::internal,
                fmt::format("augment of {} channels has {} means and {} deviations", channels, op.mean.size(), op.deviation.size()));
  return loops(op, op.types, augment<float>, augment<double>);
}

template <>
KernelPtr Kernels::make(const Convert& op, const Limits&) {
  return host_kernel("reference", "loops", op,
                     [](const Convert&, const Buffers& buffers, void*) { convert(buffers.in[0], buffers.out[0]); });
}

template <>
KernelPtr Kernels::make(const Reorder& op, const Limits&) {
  if (op.dtype == DType::f32) return reorder<float>(op);
  if (op.dtype == DType::f64) return reorder<double>(op);
  if (is_small_float(op.dtype)) return reorder<uint16_t>(op);  // the bits
  throw Error(ExitCode::internal, fmt::format("`reference` has no reorder of {}", name_of(op.dtype)));
}

}  // namespace fovea::reference
