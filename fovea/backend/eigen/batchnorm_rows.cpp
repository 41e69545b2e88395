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

// By place in the period. `mean` is what is subtracted from x in both passes; in the first one forward, something near the mean.
// y = (x - mean) scale + shift; dx = ((g - share) - (x - mean) slope) scale.
template <class Float>
struct Factors {
  Factors(int64_t c, Float* memory) {
    Float** const all[] = {&mean, &scale, &shift, &share, &slope};
    for (size_t i = 0; i < 5; ++i) *all[i] = memory + static_cast<int64_t>(i) * aligned(period_of(c));
  }
  Float *mean, *scale, *shift, *share, *slope;
};

void repeat(int64_t c, float* values) {
  for (int64_t row = 1; row < rows_in_period(c); ++row) std::copy_n(values, c, values + row * c);
}

// Of a range: two sums of each channel, and what they are made of, by place in the period.
struct Sums {
  Sums(int64_t c, float* memory)
      : c(c),
        period(period_of(c)),
        of_channel(reinterpret_cast<double*>(memory)),
        first(reinterpret_cast<double*>(memory + aligned(4 * c))),
        second(first + aligned(period)),
        block_first(memory + aligned(4 * c) + 4 * aligned(period)),
        block_second(block_first + aligned(period)) {}

  int64_t c, period;
  double* of_channel;  // (2, c)
  double *first, *second;
  float *block_first, *block_second;

  void clear() const {
    std::fill_n(first, period, 0.0);
    std::fill_n(second, period, 0.0);
  }
  void fold() const {
    std::fill_n(of_channel, 2 * c, 0.0);
    for (int64_t row = 0; row < period; row += c)
      for (int64_t channel = 0; channel < c; ++channel) {
        of_channel[channel] += first[row + channel];
        of_channel[c + channel] += second[row + channel];
      }
  }
};

// sum term and sum term * (x - mean), in float within blocks of 64 periods, in double over the blocks. term(i, j, x - mean) for element i,
// at place j of the period.
template <class Term>
[[gnu::always_inline]] inline void add_products(int64_t elements, const float* __restrict x, const float* __restrict mean, const Sums& sums,
                                                Term term) {
  const int64_t period = sums.period;
  float* __restrict first = sums.block_first, * __restrict second = sums.block_second;
  for (int64_t block = 0; block < elements; block += 64 * period) {
    const int64_t end = elements < block + 64 * period ? elements : block + 64 * period;
    for (int64_t j = 0; j < period; ++j) first[j] = second[j] = 0;
    for (int64_t i = block; i < end; i += period) {
      const int64_t count = end - i < period ? end - i : period;
#pragma omp simd
      for (int64_t j = 0; j < count; ++j) {
        const float centred = x[i + j] - mean[j], value = term(i + j, j, centred);
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

FOVEA_CLONES void add_squares(int64_t elements, const float* x, const Factors<const float>& by, const Sums& sums) {
  add_products(
      elements, x, by.mean, sums, [](int64_t, int64_t, float centred) __attribute__((always_inline)) { return centred; });
}

FOVEA_CLONES void add_gradients(int64_t elements, const BatchNormGradient& run, const Factors<const float>& by, const Sums& sums) {
  const float* __restrict dy = run.dy, * __restrict y = run.y, * __restrict scale = by.scale, * __restrict shift = by.shift;
  float* __restrict g = run.g;
  if (run.shift != nullptr)
    add_products(
        elements, run.x, by.mean, sums, [=](int64_t i, int64_t j, float centred) __attribute__((always_inline)) {
          return centred * scale[j] + shift[j] <= 0 ? 0 : dy[i];
        });
  else if (y != nullptr)
    add_products(
        elements, run.x, by.mean,
        sums, [=](int64_t i, int64_t, float) __attribute__((always_inline)) { return g[i] = y[i] <= 0 ? 0 : dy[i]; });
  else
    add_products(
        elements, run.x, by.mean, sums, [=](int64_t i, int64_t, float) __attribute__((always_inline)) { return dy[i]; });
}

// The sums of all ranges, in their order, in place of those of the first one.
FOVEA_CLONES const double* total_of(const RangeSums& sums, int64_t c) {
  double* __restrict total = reinterpret_cast<double*>(sums.first);
  for (int64_t range = 1; range < sums.ranges; ++range) {
    const double* __restrict of_range = reinterpret_cast<const double*>(sums.first + range * sums_floats(c));
#pragma omp simd
    for (int64_t i = 0; i < 2 * c; ++i) total[i] += of_range[i];
  }
  return total;
}

double inverse_deviation(const BatchNormRows& shape, float variance) {
  return 1 / std::sqrt(static_cast<double>(variance) + static_cast<double>(shape.epsilon));
}

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

FOVEA_CLONES void normalise(const Elements& elements, const BatchNormRun& run, const Factors<const float>& by) {
  const float* __restrict other = run.other;
  const auto nothing = [](int64_t) __attribute__((always_inline)) { return 0.0f; };
  const auto of_other = [=](int64_t i) __attribute__((always_inline)) { return other[i]; };
  if (run.rectify == Rectify::yes && other != nullptr) return store<Rectify::yes>(elements, run.x, by, run.y, of_other);
  if (run.rectify == Rectify::yes) return store<Rectify::yes>(elements, run.x, by, run.y, nothing);
  if (other != nullptr) return store<Rectify::no>(elements, run.x, by, run.y, of_other);
  store<Rectify::no>(elements, run.x, by, run.y, nothing);
}

// gradient(i, j, x - mean) is that of the result's element i, at place j of the period.
template <class Gradient>
[[gnu::always_inline]] inline void store_gradients(const Elements& elements, const BatchNormGradient& run, const Factors<const float>& by,
                                                   Gradient gradient) {
  const float* __restrict mean = by.mean, * __restrict scale = by.scale, * __restrict share = by.share, * __restrict slope = by.slope;
  const float* __restrict x = run.x;
  float* __restrict dx = run.dx;
  const bool adds = run.into == Into::add;
  const auto value = [=](int64_t i, int64_t j) __attribute__((always_inline)) {
    const float centred = x[i + j] - mean[j];
    return (gradient(i + j, j, centred) - share[j] - centred * slope[j]) * scale[j];
  };
  for_each_period(
      elements.count, elements.period, [=](int64_t i, int64_t count) __attribute__((always_inline)) {
        if (adds) {
#pragma omp simd
          for (int64_t j = 0; j < count; ++j) dx[i + j] += value(i, j);
        } else {
#pragma omp simd
          for (int64_t j = 0; j < count; ++j) dx[i + j] = value(i, j);
        }
      });
}

FOVEA_CLONES void differentiate(const Elements& elements, const BatchNormGradient& run, const Factors<const float>& by) {
  const float* __restrict dy = run.y != nullptr ? run.g : run.dy, * __restrict scale = by.scale, * __restrict shift = by.shift;
  if (run.shift == nullptr)
    return store_gradients(
        elements, run, by, [=](int64_t i, int64_t, float) __attribute__((always_inline)) { return dy[i]; });
  store_gradients(
      elements, run, by, [=](int64_t i, int64_t j, float centred) __attribute__((always_inline)) {
        return centred * scale[j] + shift[j] <= 0 ? 0 : dy[i];
      });
}

// The same run from some row on.
BatchNormRun from_row(BatchNormRun run, int64_t row) {
  const int64_t first = row * run.shape.c;
  run.x += first;
  run.y += first;
  if (run.other != nullptr) run.other += first;
  return run;
}
BatchNormGradient from_row(BatchNormGradient run, int64_t row) {
  const int64_t first = row * run.shape.c;
  run.x += first;
  run.dy += first;
  run.dx += first;
  if (run.y != nullptr) run.y += first, run.g += first;
  return run;
}

}  // namespace

int64_t sums_floats(int64_t c) { return aligned(4 * c) + 6 * aligned(period_of(c)); }
int64_t factors_floats(int64_t c) { return 5 * aligned(period_of(c)); }

// Of rows spread over all: near the mean of each channel, so that what is summed of the differences does not cancel.
void prepare(const BatchNormRun& run, float* factors) {
  const int64_t c = run.shape.c, rows = run.shape.rows, samples = std::min<int64_t>(rows, 16);
  float* mean = Factors<float>(c, factors).mean;
  std::fill_n(mean, c, 0.0f);
  for (int64_t sample = 0; sample < samples; ++sample) {
    const float* row = run.x + rows * sample / samples * c;
    for (int64_t channel = 0; channel < c; ++channel) mean[channel] += row[channel];
  }
  for (int64_t channel = 0; channel < c; ++channel) mean[channel] /= static_cast<float>(samples);
  repeat(c, mean);
}

void sum_rows(const BatchNormRun& run, const Range& rows, const float* factors, float* memory) {
  const int64_t c = run.shape.c;
  const Sums sums(c, memory);
  sums.clear();
  add_squares(rows.count * c, run.x + rows.first * c, {c, factors}, sums);
  sums.fold();
}

void finish(const BatchNormRun& run, const RangeSums& sums, float* factors) {
  const int64_t c = run.shape.c;
  const double rows = static_cast<double>(run.shape.rows);
  const double* total = total_of(sums, c);
  const float* pivot = Factors<float>(c, factors).mean;
  for (int64_t channel = 0; channel < c; ++channel) {
    const double from_pivot = total[channel] / rows, variance = total[c + channel] / rows - from_pivot * from_pivot;
    run.mean[channel] = static_cast<float>(static_cast<double>(pivot[channel]) + from_pivot);
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
  const int64_t c = run.shape.c;
  normalise({rows.count * c, period_of(c)}, from_row(run, rows.first), {c, factors});
}

void prepare(const BatchNormGradient& run, float* factors) {
  const int64_t c = run.shape.c;
  const Factors<float> of(c, factors);
  std::copy_n(run.mean, c, of.mean);
  for (int64_t channel = 0; channel < c; ++channel)
    of.scale[channel] = static_cast<float>(static_cast<double>(run.scale[channel]) * inverse_deviation(run.shape, run.variance[channel]));
  if (run.shift != nullptr) std::copy_n(run.shift, c, of.shift);
  for (float* values : {of.mean, of.scale}) repeat(c, values);
  if (run.shift != nullptr) repeat(c, of.shift);
}

void sum_rows(const BatchNormGradient& run, const Range& rows, const float* factors, float* memory) {
  const int64_t c = run.shape.c;
  const Sums sums(c, memory);
  sums.clear();
  add_gradients(rows.count * c, from_row(run, rows.first), {c, factors}, sums);
  sums.fold();
}

void finish(const BatchNormGradient& run, const RangeSums& sums, float* factors) {
  const int64_t c = run.shape.c;
  const double rows = static_cast<double>(run.shape.rows);
  const Factors<float> of(c, factors);
  const double* total = total_of(sums, c);
  for (int64_t channel = 0; channel < c; ++channel) {
    const double dshift = total[channel], inverse = inverse_deviation(run.shape, run.variance[channel]);
    const double dscale = total[c + channel] * inverse;
    of.share[channel] = static_cast<float>(dshift / rows);
    of.slope[channel] = static_cast<float>(dscale * inverse / rows);
    run.dscale[channel] = (run.into_scale == Into::add ? run.dscale[channel] : 0) + static_cast<float>(dscale);
    run.dshift[channel] = (run.into_shift == Into::add ? run.dshift[channel] : 0) + static_cast<float>(dshift);
  }
  for (float* values : {of.share, of.slope}) repeat(c, values);
}

void store_rows(const BatchNormGradient& run, const Range& rows, const float* factors) {
  const int64_t c = run.shape.c;
  differentiate({rows.count * c, period_of(c)}, from_row(run, rows.first), {c, factors});
}

}  // namespace fovea::eigen
