// The fully connected layer as matrix products, and the bias of every layer.
#include <fmt/format.h>

#include <algorithm>

#include "fovea/backend/eigen/backend.h"
#include "fovea/backend/eigen/clones.h"
#include "fovea/backend/eigen/kernel.h"
#include "fovea/backend/eigen/product.h"

namespace fovea::eigen {
namespace {

Accumulate accumulate(Into into) { return into == Into::add ? Accumulate::yes : Accumulate::no; }

void linear_forward(const LinearForward& op, const Buffers& buffers, void*) {
  const auto [n, c, k] = op.shape;
  products().a_b_transposed({n, k, c, input(buffers, 0), c, input(buffers, 1), c, output(buffers, 0), k}, Accumulate::no);
}

void linear_backward_data(const LinearBackwardData& op, const Buffers& buffers, void*) {
  const auto [n, c, k] = op.shape;
  products().a_b({n, c, k, input(buffers, 0), k, input(buffers, 1), c, output(buffers, 0), c}, accumulate(op.into));
}

void linear_backward_filter(const LinearBackwardFilter& op, const Buffers& buffers, void*) {
  const auto [n, c, k] = op.shape;
  products().a_transposed_b({k, c, n, input(buffers, 1), k, input(buffers, 0), c, output(buffers, 0), c}, accumulate(op.into));
}

// Rows side by side until they fill vectors also where k is small.
int64_t rows_at_a_time(int64_t k) { return std::max<int64_t>(1, 256 / k); }

FOVEA_CLONES void add_bias(int64_t elements, int64_t period, const float* __restrict x, const float* __restrict b, float* __restrict y) {
  for (int64_t i = 0; i < elements; i += period) {
    const int64_t count = elements - i < period ? elements - i : period;
#pragma omp simd
    for (int64_t j = 0; j < count; ++j) y[i + j] = x[i + j] + b[j];
  }
}

void bias_forward(const BiasForward& op, const Buffers& buffers, void* workspace) {
  float* repeated = static_cast<float*>(workspace);
  for (int64_t row = 0; row < rows_at_a_time(op.k); ++row) std::copy_n(input(buffers, 1), op.k, repeated + row * op.k);
  add_bias(op.rows * op.k, rows_at_a_time(op.k) * op.k, input(buffers, 0), repeated, output(buffers, 0));
}

// sums[j] += the elements at j, j + period, ...: in float within blocks of 64 periods, in double over the blocks.
FOVEA_CLONES void add_columns(int64_t elements, int64_t period, const float* __restrict dy, float* __restrict block,
                              double* __restrict sums) {
  for (int64_t first = 0; first < elements; first += 64 * period) {
    const int64_t end = elements < first + 64 * period ? elements : first + 64 * period;
    for (int64_t j = 0; j < period; ++j) block[j] = 0;
    for (int64_t i = first; i < end; i += period) {
      const int64_t count = end - i < period ? end - i : period;
#pragma omp simd
      for (int64_t j = 0; j < count; ++j) block[j] += dy[i + j];
    }
    for (int64_t j = 0; j < period; ++j) sums[j] += static_cast<double>(block[j]);
  }
}

void bias_backward(const BiasBackward& op, const Buffers& buffers, void* workspace) {
  const int64_t rows = rows_at_a_time(op.k), period = rows * op.k;
  double* sums = static_cast<double*>(workspace);
  float* db = output(buffers, 0);
  std::fill_n(sums, period, 0.0);
  add_columns(op.rows * op.k, period, input(buffers, 0), reinterpret_cast<float*>(sums + period), sums);
  for (int64_t k = 0; k < op.k; ++k) {
    double sum = 0;
    for (int64_t row = 0; row < rows; ++row) sum += sums[row * op.k + k];
    db[k] = (op.into == Into::add ? db[k] : 0) + static_cast<float>(sum);
  }
}

std::string product_name() { return fmt::format("Eigen product ({})", products().isa); }

}  // namespace

KernelPtr EigenBackend::make(const LinearForward& op, const Limits& limits) {
  if (!in_float(op.types)) return ReferenceBackend::make(op, limits);
  return kernel(product_name(), op, linear_forward);
}
KernelPtr EigenBackend::make(const LinearBackwardData& op, const Limits& limits) {
  if (!in_float(op.types)) return ReferenceBackend::make(op, limits);
  return kernel(product_name(), op, linear_backward_data);
}
KernelPtr EigenBackend::make(const LinearBackwardFilter& op, const Limits& limits) {
  if (!in_float(op.types)) return ReferenceBackend::make(op, limits);
  return kernel(product_name(), op, linear_backward_filter);
}
KernelPtr EigenBackend::make(const BiasForward& op, const Limits& limits) {
  if (!in_float(op.types)) return ReferenceBackend::make(op, limits);
  return kernel("loops", op, bias_forward, rows_at_a_time(op.k) * op.k);
}
KernelPtr EigenBackend::make(const BiasBackward& op, const Limits& limits) {
  if (!in_float(op.types)) return ReferenceBackend::make(op, limits);
  return kernel("loops", op, bias_backward, 3 * rows_at_a_time(op.k) * op.k);
}

}  // namespace fovea::eigen
