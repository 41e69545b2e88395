// Sums over the rows of a matrix.
#include "fovea/backend/eigen/column_sums.h"

#include <algorithm>

#include "fovea/backend/eigen/clones.h"

namespace fovea::eigen {
namespace {

// sums[j] += the elements at j, j + period, ...: in float within blocks of 64 periods, in double over the blocks.
FOVEA_CLONES void add_periods(int64_t elements, int64_t period, const float* __restrict values, float* __restrict block,
                              double* __restrict sums) {
  for (int64_t first = 0; first < elements; first += 64 * period) {
    const int64_t end = elements < first + 64 * period ? elements : first + 64 * period;
    for (int64_t j = 0; j < period; ++j) block[j] = 0;
    for (int64_t i = first; i < end; i += period) {
      const int64_t count = end - i < period ? end - i : period;
#pragma omp simd
      for (int64_t j = 0; j < count; ++j) block[j] += values[i + j];
    }
#pragma omp simd
    for (int64_t j = 0; j < period; ++j) sums[j] += static_cast<double>(block[j]);
  }
}

}  // namespace

void ColumnSums::clear() { std::fill_n(sums_, rows_in_period(k_) * k_, 0.0); }

void ColumnSums::add(int64_t rows, const float* values) {
  const int64_t period = rows_in_period(k_) * k_;
  add_periods(rows * k_, period, values, reinterpret_cast<float*>(sums_ + period), sums_);
}

void ColumnSums::add(const ColumnSums& others) {
  for (int64_t i = 0; i < rows_in_period(k_) * k_; ++i) sums_[i] += others.sums_[i];
}

void ColumnSums::finish(Into into, float* sums) const {
  for (int64_t k = 0; k < k_; ++k) {
    double sum = 0;
    for (int64_t row = 0; row < rows_in_period(k_); ++row) sum += sums_[row * k_ + k];
    sums[k] = (into == Into::add ? sums[k] : 0) + static_cast<float>(sum);
  }
}

}  // namespace fovea::eigen
