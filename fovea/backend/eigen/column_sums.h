// Sums over the rows of a matrix, in an order fixed by its shape: the gradient of a bias.
#pragma once

#include <cstdint>

#include "fovea/graph/op.h"

namespace fovea::eigen {

// Rows lie side by side in a period of at least some hundred floats, so that loops fill vectors also where k is small.
inline int64_t rows_in_period(int64_t k) { return k < 256 ? 256 / k : 1; }

class ColumnSums {
 public:
  explicit ColumnSums(int64_t k, void* workspace = nullptr) : k_(k), sums_(static_cast<double*>(workspace)) {}
  int64_t workspace_floats() const { return 3 * rows_in_period(k_) * k_; }  // aligned to 8 bytes
  void clear();
  void add(int64_t rows, const float* values);
  void add(const ColumnSums& others);         // of as many columns
  void finish(Into into, float* sums) const;  // (k)

 private:
  int64_t k_;
  double* sums_;  // of a period
};

}  // namespace fovea::eigen
