// The loops of batchnorm_rows.h. Rows lie side by side in a period, as in column_sums.h.
#include "fovea/backend/eigen/batchnorm_rows.h"

#include <algorithm>
#include <cmath>

#include "fovea/backend/eigen/clones.h"
#include "fovea/backend/eigen/column_sums.h"

namespace fovea::eigen {
namespace {

int64_t aligned(int64_t floats) { return (floats + 15) / 16 * 16; }
int64_t period_of(int64_t c) { return rows_in_period(c) * c; }

// Of a range: two sums of each channel, and what they are made of, by place in the period.
struct Sums {
  Sums(int64_t c, float* memory)
      : c(c),
        period(period_of(c)),
        of_channel(reinterpret_cast<double*>(memory)),
        first(reinterpret_cast<double*>(memory + aligned(4 * c))),
        second(first + aligned(period)),
        pivot(memory + aligned(4 * c) + 4 * aligned(period)),
        block_first(pivot + aligned(period)),
        block_second(block_first + aligned(period)) {}

  int64_t c, period;
  double* of_channel;  // (2, c)
  double *first, *second;
  float* pivot;
  float *block_first, *block_second;

  void clear() const {
    std::fill_n(first, period, 0.0);
    std::fill_n(second, period, 0.0);
  }
  void fold() const {
    for (int64_t channel = 0; channel < c; ++channel) {
      of_channel[channel] = of_channel[c + channel] = 0;
      for (int64_t i = channel; i < period; i += c) {
        of_channel[channel] += first[i];
        of_channel[c + channel] += second[i];
      }
    }
  }
};

// sum term and sum term * (x - pivot), in float within blocks of 64 periods, in double over the blocks. term(i, centred) for element i.
template <class Term>
[[gnu::always_inline]] inline void add_products(int64_t elements, const float* __restrict x, const Sums& sums, Term term) {
  const int64_t period = sums.period;
  const float* __restrict pivot = sums.pivot;
  float* __restrict first = sums.block_first, * __restrict second = sums.block_second;
  for (int64_t block = 0; block < elements; block += 64 * period) {
    const int64_t end = elements < block + 64 * period ? elements : block + 64 * period;
    for (int64_t j = 0; j < period; ++j) first[j] = second[j] = 0;
    for (int64_t i = block; i < end; i += period) {
      const int64_t count = end - i < period ? end - i : period;
#pragma omp simd
      for (int64_t j = 0; j < count; ++j) {
        const float centred = x[i + j] - pivot[j], value = term(i + j, centred);
        first[j] += value;
        second[j] += value * centred;
      }
    }
#pragma omp simd
    for (int64_t j = 0; j < period; ++j) {
      sums.first[j] += static_cast<double>(first[j]);
      sums.second[j] += static_cast<double>(second[j]);
    }
  }
}

FOVEA_CLONES void add_squares(int64_t elements, const float* x, const Sums& sums) {
  add_products(
      elements, x, sums, [](int64_t, float centred) __attribute__((always_inline)) { return centred; });
}

FOVEA_CLONES void add_gradients(int64_t elements, const float* x, const float* __restrict dy, const Sums& sums) {
  add_products(
      elements, x, sums, [=](int64_t i, float) __attribute__((always_inline)) { return dy[i]; });
}

struct Rectified {
  const float* __restrict y;
  const float* __restrict dy;
  float* __restrict g;
};

FOVEA_CLONES void add_rectified(int64_t elements, const float* x, const Rectified& by, const Sums& sums) {
  const float* __restrict y = by.y, * __restrict dy = by.dy;
  add_products(
      elements, x, sums, [=](int64_t i, float) __attribute__((always_inline)) { return y[i] <= 0 ? 0 : dy[i]; });
}

FOVEA_CLONES void add_kept(int64_t elements, const float* x, const Rectified& by, const Sums& sums) {
  const float* __restrict y = by.y, * __restrict dy = by.dy;
  float* __restrict g = by.g;
  add_products(
      elements, x, sums, [=](int64_t i, float) __attribute__((always_inline)) { return g[i] = y[i] <= 0 ? 0 : dy[i]; });
}

void repeat(int64_t c, float* values) {
  for (int64_t row = 1; row < rows_in_period(c); ++row) std::copy_n(values, c, values + row * c);
}

// Near the mean of each channel, so that what is summed of the differences does not cancel: that of rows spread over all.
void set_pivot(const BatchNormRows& shape, const float* x, float* pivot) {
  const int64_t samples = std::min<int64_t>(shape.rows, 16);
  std::fill_n(pivot, shape.c, 0.0f);
  for (int64_t sample = 0; sample < samples; ++sample) {
    const float* row = x + shape.rows * sample / samples * shape.c;
    for (int64_t c = 0; c < shape.c; ++c) pivot[c] += row[c];
  }
  for (int64_t c = 0; c < shape.c; ++c) pivot[c] /= static_cast<float>(samples);
}

// The sums of all ranges for a channel, in their order.
struct Total {
  double first = 0, second = 0;
};
Total total_of(const RangeSums& sums, int64_t c, int64_t channel) {
  Total total;
  for (int64_t range = 0; range < sums.ranges; ++range) {
    const double* of_range = reinterpret_cast<const double*>(sums.first + range * sums_floats(c));
    total.first += of_range[channel];
    total.second += of_range[c + channel];
  }
  return total;
}

double inverse_deviation(const BatchNormRows& shape, float variance) {
  return 1 / std::sqrt(static_cast<double>(variance) + static_cast<double>(shape.epsilon));
}

// Of the second pass, by place in the period: y = (x - mean) scale + shift, dx = ((g - shift) - (x - mean) slope) scale.
template <class Float>
struct Factors {
  Factors(int64_t c, Float* memory)
      : mean(memory),
        scale(memory + aligned(period_of(c))),
        shift(memory + 2 * aligned(period_of(c))),
        slope(memory + 3 * aligned(period_of(c))) {}
  Float *mean, *scale, *shift, *slope;
};

// body(first element, count) of each period of some rows.
template <class Body>
[[gnu::always_inline]] inline void for_each_period(int64_t elements, int64_t period, Body body) {
  for (int64_t i = 0; i < elements; i += period) body(i, elements - i < period ? elements - i : period);
}

struct Elements {
  int64_t count, period;
};

template <Rectify rectify, class Added>
[[gnu::always_inline]] inline void store(const Elements& elements, const float* __restrict x, const Factors<const float>& by,
                                         float* __restrict y, Added added) {
  const float* __restrict mean = by.mean, * __restrict scale = by.scale, * __restrict shift = by.shift;
  for_each_period(
      elements.count, elements.period, [=](int64_t i, int64_t count) __attribute__((always_inline)) {
#pragma omp simd
        for (int64_t j = 0; j < count; ++j) {
          const float value = (x[i + j] - mean[j]) * scale[j] + shift[j] + added(i + j);
          y[i + j] = rectify == Rectify::yes && value <= 0 ? 0 : value;
        }
      });
}

// `other` may be absent.
FOVEA_CLONES void normalise(const Elements& elements, const float* x, const Factors<const float>& by, const float* other, float* y) {
  if (other == nullptr)
    return store<Rectify::no>(
        elements, x, by, y, [](int64_t) __attribute__((always_inline)) { return 0.0f; });
  store<Rectify::no>(
      elements, x, by, y, [=](int64_t i) __attribute__((always_inline)) { return other[i]; });
}
FOVEA_CLONES void normalise_rectified(const Elements& elements, const float* x, const Factors<const float>& by, const float* other,
                                      float* y) {
  if (other == nullptr)
    return store<Rectify::yes>(
        elements, x, by, y, [](int64_t) __attribute__((always_inline)) { return 0.0f; });
  store<Rectify::yes>(
      elements, x, by, y, [=](int64_t i) __attribute__((always_inline)) { return other[i]; });
}

// gradient(i) is that of the result's element i.
template <class Gradient>
[[gnu::always_inline]] inline void store_gradients(const Elements& elements, const Factors<const float>& by, const BatchNormGradient& run,
                                                   Gradient gradient) {
  const float* __restrict mean = by.mean, * __restrict scale = by.scale, * __restrict shift = by.shift, * __restrict slope = by.slope;
  const float* __restrict x = run.x;
  float* __restrict dx = run.dx;
  const bool adds = run.into == Into::add;
  for_each_period(
      elements.count, elements.period, [=](int64_t i, int64_t count) __attribute__((always_inline)) {
        if (adds) {
#pragma omp simd
          for (int64_t j = 0; j < count; ++j) dx[i + j] += (gradient(i + j) - shift[j] - (x[i + j] - mean[j]) * slope[j]) * scale[j];
        } else {
#pragma omp simd
          for (int64_t j = 0; j < count; ++j) dx[i + j] = (gradient(i + j) - shift[j] - (x[i + j] - mean[j]) * slope[j]) * scale[j];
        }
      });
}

// Of the rows that run.x and its like begin with.
FOVEA_CLONES void differentiate(const Elements& elements, const Factors<const float>& by, const BatchNormGradient& run) {
  const float* __restrict dy = run.g != nullptr ? run.g : run.dy;
  const float* __restrict y = run.y;
  if (y == nullptr || run.g != nullptr)
    return store_gradients(
        elements, by, run, [=](int64_t i) __attribute__((always_inline)) { return dy[i]; });
  store_gradients(
      elements, by, run, [=](int64_t i) __attribute__((always_inline)) { return y[i] <= 0 ? 0 : dy[i]; });
}

const float* moved(const float* address, int64_t by) { return address == nullptr ? nullptr : address + by; }

}  // namespace

int64_t sums_floats(int64_t c) { return aligned(4 * c) + 7 * aligned(period_of(c)); }
int64_t factors_floats(int64_t c) { return 4 * aligned(period_of(c)); }

void sum_rows(const BatchNormRun& run, const Range& rows, float* memory) {
  const int64_t c = run.shape.c;
  const Sums sums(c, memory);
  set_pivot(run.shape, run.x, sums.pivot);
  repeat(c, sums.pivot);
  sums.clear();
  add_squares(rows.count * c, run.x + rows.first * c, sums);
  sums.fold();
}

void finish(const BatchNormRun& run, const RangeSums& sums, float* factors) {
  const BatchNormRows& shape = run.shape;
  const double rows = static_cast<double>(shape.rows);
  set_pivot(shape, run.x, run.mean);
  for (int64_t channel = 0; channel < shape.c; ++channel) {
    const Total total = total_of(sums, shape.c, channel);
    const double from_pivot = total.first / rows;
    run.mean[channel] = static_cast<float>(static_cast<double>(run.mean[channel]) + from_pivot);
    const double variance = total.second / rows - from_pivot * from_pivot;
    run.variance[channel] = static_cast<float>(variance < 0 ? 0 : variance);  // NaN stays NaN
  }
  set_factors(run, {run.mean, run.variance}, factors);
}

void set_factors(const BatchNormRun& run, const Statistics& given, float* factors) {
  const int64_t c = run.shape.c;
  const Factors<float> of(c, factors);
  for (int64_t channel = 0; channel < c; ++channel)
    of.scale[channel] = static_cast<float>(static_cast<double>(run.scale[channel]) * inverse_deviation(run.shape, given.variance[channel]));
  std::copy_n(given.mean, c, of.mean);
  std::copy_n(run.shift, c, of.shift);
  for (float* values : {of.mean, of.scale, of.shift}) repeat(c, values);
}

void store_rows(const BatchNormRun& run, const Range& rows, const float* factors) {
  const int64_t c = run.shape.c, first = rows.first * c;
  const auto loop = run.rectify == Rectify::yes ? normalise_rectified : normalise;
  loop({rows.count * c, period_of(c)}, run.x + first, {c, factors}, moved(run.other, first), run.y + first);
}

void sum_rows(const BatchNormGradient& run, const Range& rows, float* memory) {
  const int64_t c = run.shape.c, first = rows.first * c, elements = rows.count * c;
  const Sums sums(c, memory);
  std::copy_n(run.mean, c, sums.pivot);
  repeat(c, sums.pivot);
  sums.clear();
  if (run.y == nullptr)
    add_gradients(elements, run.x + first, run.dy + first, sums);
  else if (run.g == nullptr)
    add_rectified(elements, run.x + first, {run.y + first, run.dy + first, nullptr}, sums);
  else
    add_kept(elements, run.x + first, {run.y + first, run.dy + first, run.g + first}, sums);
  sums.fold();
}

void finish(const BatchNormGradient& run, const RangeSums& sums, float* factors) {
  const BatchNormRows& shape = run.shape;
  const Factors<float> of(shape.c, factors);
  const double rows = static_cast<double>(shape.rows);
  for (int64_t channel = 0; channel < shape.c; ++channel) {
    const Total total = total_of(sums, shape.c, channel);
    const double inverse = inverse_deviation(shape, run.variance[channel]), dscale = total.second * inverse;
    of.mean[channel] = run.mean[channel];
    of.scale[channel] = static_cast<float>(static_cast<double>(run.scale[channel]) * inverse);
    of.shift[channel] = static_cast<float>(total.first / rows);
    of.slope[channel] = static_cast<float>(dscale * inverse / rows);
    run.dscale[channel] = (run.into_scale == Into::add ? run.dscale[channel] : 0) + static_cast<float>(dscale);
    run.dshift[channel] = (run.into_shift == Into::add ? run.dshift[channel] : 0) + static_cast<float>(total.first);
  }
  for (float* values : {of.mean, of.scale, of.shift, of.slope}) repeat(shape.c, values);
}

void store_rows(const BatchNormGradient& run, const Range& rows, const float* factors) {
  const int64_t c = run.shape.c, first = rows.first * c;
  BatchNormGradient part = run;
  part.x += first;
  part.dy += first;
  part.y = moved(run.y, first);
  if (part.g != nullptr) part.g += first;
  part.dx += first;
  differentiate({rows.count * c, period_of(c)}, {c, factors}, part);
}

}  // namespace fovea::eigen
