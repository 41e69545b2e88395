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

template <class A, class B>
void multiply(const A& a, const B& b, const Product& p, Accumulate accumulate) {
  Mutable c(p.c, p.rows, p.columns, Stride(p.c_stride));
  if (accumulate == Accumulate::yes)
    c.noalias() += a * b;
  else
    c.noalias() = a * b;
}

void a_b(const Product& p, Accumulate accumulate) {
  multiply(Constant(p.a, p.rows, p.depth, Stride(p.a_stride)), Constant(p.b, p.depth, p.columns, Stride(p.b_stride)), p, accumulate);
}

void a_b_transposed(const Product& p, Accumulate accumulate) {
  multiply(Constant(p.a, p.rows, p.depth, Stride(p.a_stride)), Constant(p.b, p.columns, p.depth, Stride(p.b_stride)).transpose(), p,
           accumulate);
}

void a_transposed_b(const Product& p, Accumulate accumulate) {
  multiply(Constant(p.a, p.depth, p.rows, Stride(p.a_stride)).transpose(), Constant(p.b, p.depth, p.columns, Stride(p.b_stride)), p,
           accumulate);
}

}  // namespace

extern const Products table;
const Products table = {FOVEA_ISA_NAME, a_b, a_b_transposed, a_transposed_b};

}  // namespace fovea::eigen::FOVEA_ISA
