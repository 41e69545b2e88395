// The fully connected layer as matrix products, and the bias of every layer.
#include <fmt/format.h>

#include <algorithm>

#include "fovea/backend/eigen/backend.h"
#include "fovea/backend/eigen/clones.h"
#include "fovea/backend/eigen/column_sums.h"
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

FOVEA_CLONES void add_bias(int64_t elements, int64_t period, const float* __restrict x, const float* __restrict b, float* __restrict y) {
  for (int64_t i = 0; i < elements; i += period) {
    const int64_t count = elements - i < period ? elements - i : period;
#pragma omp simd
    for (int64_t j = 0; j < count; ++j) y[i + j] = x[i + j] + b[j];
  }
}

void bias_backward(const BiasBackward& op, const Buffers& buffers, void* workspace) {
  ColumnSums sums(op.k, workspace);
  sums.clear();
  sums.add(op.rows, input(buffers, 0));
  sums.finish(op.into, output(buffers, 0));
}

std::string product_name() { return fmt::format("Eigen product ({})", products().isa); }

}  // namespace

template <>
Units units_of(const BiasForward& op) {
  return {op.rows, 2 * op.k, rows_in_period(op.k) * op.k};
}
template <>
void run_part(const BiasForward& op, const Range& rows, const Buffers& buffers, void* workspace) {
  float* repeated = static_cast<float*>(workspace);
  const int64_t first = rows.first * op.k;
  for (int64_t row = 0; row < rows_in_period(op.k); ++row) std::copy_n(input(buffers, 1), op.k, repeated + row * op.k);
  add_bias(rows.count * op.k, rows_in_period(op.k) * op.k, input(buffers, 0) + first, repeated, output(buffers, 0) + first);
}

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
  return in_float(op.types) ? loops(op) : ReferenceBackend::make(op, limits);
}
KernelPtr EigenBackend::make(const BiasBackward& op, const Limits& limits) {
  if (!in_float(op.types)) return ReferenceBackend::make(op, limits);
  return kernel("loops", op, bias_backward, ColumnSums(op.k).workspace_floats());
}

}  // namespace fovea::eigen
