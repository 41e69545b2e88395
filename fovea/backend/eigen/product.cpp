// The products of product.h. Compiled several times: FOVEA_ISA names the namespace and Eigen's, so that no inline function of one
// instruction set can stand in for that of another. For the same reason nothing of the standard library is used here.
#define EIGEN_MPL2_ONLY
#define EIGEN_DONT_PARALLELIZE
#define EIGEN_NO_DEBUG
#define EIGEN_STACK_ALLOCATION_LIMIT 4194304  // packed panels lie on the stack: no allocation in a run
#include <Eigen/Core>

#include "fovea/backend/eigen/product.h"

namespace fovea::eigen::FOVEA_ISA {
namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Stride = Eigen::OuterStride<>;
using Constant = Eigen::Map<const Matrix, Eigen::Unaligned, Stride>;
using Mutable = Eigen::Map<Matrix, Eigen::Unaligned, Stride>;

constexpr int64_t most_columns = 512;  // of a product: with more the packed panels would outgrow the stack and be allocated

// multiply(part) for parts of the columns, as equal as whole tiles of 48 allow; b_step is the step of b from one column to the next.
template <class Multiply>
void by_columns(const Product& p, int64_t b_step, Multiply multiply) {
  const int64_t parts = (p.columns + most_columns - 1) / most_columns, tiles = (p.columns + parts * 48 - 1) / (parts * 48);
  const int64_t columns = parts == 1 ? p.columns : tiles * 48;
  for (int64_t first = 0; first < p.columns; first += columns) {
    Product part = p;
    part.columns = p.columns - first < columns ? p.columns - first : columns;
    part.b += first * b_step;
    part.c += first;
    multiply(part);
  }
}

template <class A, class B>
void multiply(const A& a, const B& b, const Product& p, Accumulate accumulate) {
  Mutable c(p.c, p.rows, p.columns, Stride(p.c_stride));
  if (accumulate == Accumulate::yes)
    c.noalias() += a * b;
  else
    c.noalias() = a * b;
}

Constant matrix(const float* data, int64_t rows, int64_t columns, int64_t stride) { return Constant(data, rows, columns, Stride(stride)); }

void a_b(const Product& product, Accumulate accumulate) {
  by_columns(product, 1, [&](const Product& p) {
    multiply(matrix(p.a, p.rows, p.depth, p.a_stride), matrix(p.b, p.depth, p.columns, p.b_stride), p, accumulate);
  });
}

void a_b_transposed(const Product& product, Accumulate accumulate) {
  by_columns(product, product.b_stride, [&](const Product& p) {
    multiply(matrix(p.a, p.rows, p.depth, p.a_stride), matrix(p.b, p.columns, p.depth, p.b_stride).transpose(), p, accumulate);
  });
}

void a_transposed_b(const Product& product, Accumulate accumulate) {
  by_columns(product, 1, [&](const Product& p) {
    multiply(matrix(p.a, p.depth, p.rows, p.a_stride).transpose(), matrix(p.b, p.depth, p.columns, p.b_stride), p, accumulate);
  });
}

}  // namespace

extern const Products table;
const Products table = {FOVEA_ISA_NAME, a_b, a_b_transposed, a_transposed_b};

}  // namespace fovea::eigen::FOVEA_ISA
