// Where branches meet: sums, concatenations, and shortcuts past layers that shrink the image.
#include <algorithm>

#include "fovea/backend/eigen/backend.h"
#include "fovea/backend/eigen/clones.h"
#include "fovea/backend/eigen/kernel.h"

namespace fovea::eigen {
namespace {

FOVEA_CLONES void add(int64_t elements, const float* __restrict a, const float* __restrict b, float* __restrict y) {
#pragma omp simd
  for (int64_t i = 0; i < elements; ++i) y[i] = a[i] + b[i];
}

// The same run of floats of `count` rows.
struct Runs {
  int64_t count, floats;
  const float* from;
  int64_t from_step;
  float* to;
  int64_t to_step;
};

FOVEA_CLONES void copy_runs(Into into, const Runs& runs) {
  for (int64_t row = 0; row < runs.count; ++row) {
    const float* __restrict from = runs.from + row * runs.from_step;
    float* __restrict to = runs.to + row * runs.to_step;
    if (into == Into::add) {
#pragma omp simd
      for (int64_t i = 0; i < runs.floats; ++i) to[i] += from[i];
    } else {
#pragma omp simd
      for (int64_t i = 0; i < runs.floats; ++i) to[i] = from[i];
    }
  }
}

int64_t input_floats(const ShortcutShape& shape) { return shape.h * shape.w * shape.c; }  // of one image
int64_t output_floats(const ShortcutShape& shape) { return shape.p() * shape.q() * shape.k; }

}  // namespace

template <>
Units units_of(const Add& op) {
  return {op.elements, 3};
}
template <>
void run_part(const Add&, const Range& elements, const Buffers& buffers, void*) {
  const int64_t first = elements.first;
  add(elements.count, input(buffers, 0) + first, input(buffers, 1) + first, output(buffers, 0) + first);
}

template <>
Units units_of(const ConcatForward& op) {
  return {op.rows, 2 * op.c()};
}
template <>
void run_part(const ConcatForward& op, const Range& rows, const Buffers& buffers, void*) {
  const int64_t c = op.c();
  float* y = output(buffers, 0) + rows.first * c;
  for (size_t part = 0; part < op.channels.size(); ++part) {
    const int64_t channels = op.channels[part];
    copy_runs(Into::overwrite, {rows.count, channels, input(buffers, part) + rows.first * channels, channels, y, c});
    y += channels;
  }
}

template <>
Units units_of(const ConcatBackward& op) {
  return {op.forward.rows, 2 * op.forward.channels[static_cast<size_t>(op.part)]};
}
template <>
void run_part(const ConcatBackward& op, const Range& rows, const Buffers& buffers, void*) {
  const int64_t c = op.forward.c(), channels = op.forward.channels[static_cast<size_t>(op.part)];
  const float* dy = input(buffers, 0) + rows.first * c + op.forward.first(op.part);
  copy_runs(op.into, {rows.count, channels, dy, c, output(buffers, 0) + rows.first * channels, channels});
}

template <>
Units units_of(const ShortcutForward& op) {
  return {op.shape.n, 2 * output_floats(op.shape)};
}
template <>
void run_part(const ShortcutForward& op, const Range& images, const Buffers& buffers, void*) {
  const ShortcutShape& shape = op.shape;
  const int64_t p_count = shape.p(), q_count = shape.q(), line = shape.stride * shape.w * shape.c;
  float* y = output(buffers, 0) + images.first * output_floats(shape);
  if (shape.k > shape.c) std::fill_n(y, images.count * output_floats(shape), 0.0f);
  for (int64_t n = images.first; n < images.first + images.count; ++n)
    for (int64_t p = 0; p < p_count; ++p, y += q_count * shape.k)
      copy_runs(Into::overwrite, {q_count, shape.c, input(buffers, 0) + n * input_floats(shape) + p * line, shape.stride * shape.c,
                                  y + shape.first(), shape.k});
}

template <>
Units units_of(const ShortcutBackward& op) {
  return {op.shape.n, input_floats(op.shape) + output_floats(op.shape)};
}
template <>
void run_part(const ShortcutBackward& op, const Range& images, const Buffers& buffers, void*) {
  const ShortcutShape& shape = op.shape;
  const int64_t p_count = shape.p(), q_count = shape.q(), line = shape.stride * shape.w * shape.c;
  float* dx = output(buffers, 0) + images.first * input_floats(shape);
  const float* dy = input(buffers, 0) + images.first * output_floats(shape) + shape.first();
  if (op.into == Into::overwrite && shape.stride > 1) std::fill_n(dx, images.count * input_floats(shape), 0.0f);
  for (int64_t n = 0; n < images.count; ++n)
    for (int64_t p = 0; p < p_count; ++p, dy += q_count * shape.k)
      copy_runs(op.into, {q_count, shape.c, dy, shape.k, dx + n * input_floats(shape) + p * line, shape.stride * shape.c});
}

KernelPtr EigenBackend::make(const Add& op, const Limits& limits) {
  return in_float(op.types) ? loops(op) : ReferenceBackend::make(op, limits);
}
KernelPtr EigenBackend::make(const ConcatForward& op, const Limits& limits) {
  return in_float(op.types) ? loops(op) : ReferenceBackend::make(op, limits);
}
KernelPtr EigenBackend::make(const ConcatBackward& op, const Limits& limits) {
  return in_float(op.forward.types) ? loops(op) : ReferenceBackend::make(op, limits);
}
KernelPtr EigenBackend::make(const ShortcutForward& op, const Limits& limits) {
  return in_float(op.types) ? loops(op) : ReferenceBackend::make(op, limits);
}
KernelPtr EigenBackend::make(const ShortcutBackward& op, const Limits& limits) {
  return in_float(op.types) ? loops(op) : ReferenceBackend::make(op, limits);
}

}  // namespace fovea::eigen
