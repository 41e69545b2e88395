// Linear layers: forward as a convolution of one pixel, the gradients as products of what lies in memory.
#include <fmt/format.h>

#include "fovea/backend/openmp/backend.h"
#include "fovea/backend/openmp/kernel.h"
#include "fovea/backend/openmp/parallel.h"
#include "fovea/backend/openmp/product.h"
#include "fovea/backend/openmp/share.h"
#include "fovea/backend/openmp/simd.h"

namespace fovea::openmp {
namespace {

std::string algorithm() { return fmt::format("blocked product ({})", isa()); }

// C (rows, columns) = sum over depth of A and B, or C + that: rows and columns in blocks, each a task.
struct Matrices {
  int64_t rows = 1, columns = 1, depth = 1;
  int64_t row_a = 1, depth_a = 1;  // steps of A; those of B and C are 1 and `columns`
  Into into = Into::overwrite;
  int64_t row_blocks() const { return ceil_div(rows, 56); }
  int64_t panels() const { return ceil_div(columns, 2 * lanes()); }
};

void run_product(const Matrices& m, const float* a, const float* b, float* c, int threads) {
  const int64_t width = 2 * lanes(), blocks = m.row_blocks();
  parallel_for(threads, m.panels() * blocks, [&](int64_t task) {
    const int64_t first = task / blocks * width;
    const Share rows(m.rows, blocks, task % blocks);
    Product product = {.rows = {.rows = rows.size, .row_a = m.row_a, .row_c = m.columns},
                       .columns = std::min(m.columns - first, width),
                       .of_b = Columns::just,
                       .begin = m.into == Into::add ? Begin::c : Begin::zero};
    product.walk[2] = {m.depth, m.depth_a, m.columns};
    multiply(product, {.a = a + rows.first * m.row_a, .b = b + first, .c = c + rows.first * m.columns + first});
  });
}

KernelPtr make_product(const Matrices& matrices, const Limits& limits) {
  const auto function = [](const Matrices& m, const Run& run) {
    run_product(m, input(run.buffers, 0), input(run.buffers, 1), output(run.buffers, 0), run.threads);
  };
  return kernel(algorithm(), matrices, function, threads_for(limits, matrices.rows * matrices.columns * matrices.depth));
}

}  // namespace

KernelPtr OpenmpBackend::make(const LinearForward& op, const Limits& limits) {
  if (!in_float(op.types)) return EigenBackend::make(op, limits);
  return make(Conv2dForward{{.n = op.shape.n, .c = op.shape.c, .k = op.shape.k, .window = {}}, op.types}, limits);
}

// dx (n, c) = dy (n, k) w (k, c)
KernelPtr OpenmpBackend::make(const LinearBackwardData& op, const Limits& limits) {
  if (!in_float(op.types)) return EigenBackend::make(op, limits);
  const auto [n, c, k] = op.shape;
  return make_product({.rows = n, .columns = c, .depth = k, .row_a = k, .depth_a = 1, .into = op.into}, limits);
}

// dw (k, c) = dy (n, k)^T x (n, c)
KernelPtr OpenmpBackend::make(const LinearBackwardFilter& op, const Limits& limits) {
  if (!in_float(op.types)) return EigenBackend::make(op, limits);
  const auto [n, c, k] = op.shape;
  const Matrices matrices = {.rows = k, .columns = c, .depth = n, .row_a = 1, .depth_a = k, .into = op.into};
  const auto function = [](const Matrices& m, const Run& run) {
    run_product(m, input(run.buffers, 1), input(run.buffers, 0), output(run.buffers, 0), run.threads);
  };
  return kernel(algorithm(), matrices, function, threads_for(limits, n * c * k));
}

}  // namespace fovea::openmp
