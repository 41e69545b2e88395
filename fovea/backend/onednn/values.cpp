#include "fovea/backend/onednn/values.h"

#include <bit>

#include "fovea/backend/eigen/clones.h"

namespace fovea::onednn {
namespace {

[[gnu::always_inline]] inline float widened(uint16_t value) { return std::bit_cast<float>(static_cast<uint32_t>(value) << 16); }
[[gnu::always_inline]] inline uint16_t narrowed(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
  return static_cast<uint16_t>((bits & 0x7FFFFFFF) > 0x7F800000 ? (bits >> 16) | 0x40 : rounded);  // NaN stays NaN
}

FOVEA_CLONES void add_floats(int64_t count, const float* __restrict from, float* __restrict to) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) to[i] += from[i];
}

FOVEA_CLONES void rectify_floats(int64_t count, float* __restrict of) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) of[i] = of[i] <= 0 ? 0 : of[i];
}

FOVEA_CLONES void rectify_bf16(int64_t count, uint16_t* __restrict of) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) of[i] = of[i] >= 0x8000 && of[i] <= 0xFF80 ? 0 : of[i];  // from -0 to -infinity
}

}  // namespace

FOVEA_CLONES void widen(int64_t count, const uint16_t* __restrict from, float* __restrict to) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) to[i] = widened(from[i]);
}

FOVEA_CLONES void narrow(int64_t count, const float* __restrict from, uint16_t* __restrict to) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) to[i] = narrowed(from[i]);
}

FOVEA_CLONES void add(int64_t count, const float* __restrict from, uint16_t* __restrict to) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) to[i] = narrowed(widened(to[i]) + from[i]);
}

FOVEA_CLONES void rectified(int64_t count, const uint16_t* __restrict y, const uint16_t* __restrict dy, uint16_t* __restrict dx) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) dx[i] = (y[i] & 0x7FFF) == 0 || (y[i] >= 0x8000 && y[i] <= 0xFF80) ? 0 : dy[i];  // y <= 0
}

void rectify(const Tensor& of, int64_t row) {
  const int64_t count = of.shape[1];
  if (of.dtype == DType::bf16)
    rectify_bf16(count, static_cast<uint16_t*>(of.data) + row * count);
  else
    rectify_floats(count, static_cast<float*>(of.data) + row * count);
}

void add_parts(int64_t count, int64_t parts, int64_t step, float* first) {
  for (int64_t part = 1; part < parts; ++part) add_floats(count, first + part * step, first);
}

}  // namespace fovea::onednn
