// The derivation, with u the unit roundoff (2^-24 in f32, 2^-53 in f64) and S = sum |x w| over the K terms of an element.
//
// Sums. Each of the K products and K additions rounds once, by at most u times a partial sum, which is at most S. In the worst case the
// errors line up to 2 K u S; taken as independent with mean zero they come to sqrt(2 K / 3) u S, even if every partial sum were S (Higham
// and Mary, "A new approach to probabilistic rounding error analysis", SIAM J. Sci. Comput. 2019). We allow 2 sqrt(K) u S, 2.4 standard
// deviations of that pessimistic sum, in any order of summation, plus 2 u S for the rounding of the result and its addition to the output.
//
// Functions. exp, log, tanh and division are good to 2 u relative, and pass on an error of their argument. Sigmoid and tanh of |x| <= 4:
// the argument is exact, three roundings and two functions: 8 u. Losses of logits |x| <= 4: x - max rounds by 4 u, exp makes that relative
// and adds 2 u, the sum over k classes adds sqrt(k) u, log makes it absolute, the difference and the products round values up to 8: 32 u +
// 2 sqrt(k) u absolute (floor 1); the gradients are that close relative to 1 / divisor.
//
// The Gaussian's integral is 0.5 erfc, good to 4 u relative where it is not tiny; gelu and silu are products of two such factors with |x|
// <= 4, their gradients sums of two of them: 16 u with a floor of 1 (4 for the polynomial of gelu_tanh, whose argument reaches 5).
//
// Batch norm of |x| <= 1 over R rows. The mean is off by (1 + 2 sqrt(R)) u in any order of summation, the variance, a mean of squares below
// 1, by twice that. Divided by a deviation of at least 0.3 (the cases see to that) and scaled by at most 1 they come to (8 + 8 sqrt(R)) u
// of values around 1. dscale and dshift are sums of R terms around 1: as under sums, with S <= 2 R and the terms' own eight roundings. dx
// reads both divided by R, so that it is as y.
//
// The norm of the gradients: a sum of squares, all positive, relative; the root halves it.
//
// Values of 16 bits. Kernels compute in f32 with factors that are exact there, and round once when they store: u of the type of the output
// more, relative to a value that none of the measures is below. A product in TF32 may round both factors to 11 bits first, by at most 2^-11
// of each term: 2^-10 S.
//
// Updates. Sgd rounds g, m, the change and w: at most 8 roundings of values up to 1 + rate. Adam adds two roots, two divisions and a power;
// their errors scale with a change of at most ten times the rate: 16 u of values around 1 holds both.
#include "fovea/study/tolerance.h"

#include <cmath>
#include <limits>

#include "fovea/graph/graph.h"
#include "fovea/graph/precision.h"

namespace fovea::study {
namespace {

int64_t places(const Window& window) { return window.r * window.s; }

struct Terms {
  int64_t operator()(const Conv2dForward& o) const { return places(o.shape.window) * o.shape.c / o.shape.groups; }
  int64_t operator()(const Conv2dBackwardData& o) const { return places(o.shape.window) * o.shape.k / o.shape.groups; }
  int64_t operator()(const Conv2dBackwardFilter& o) const { return o.shape.n * o.shape.p() * o.shape.q(); }
  int64_t operator()(const LinearForward& o) const { return o.shape.c; }
  int64_t operator()(const LinearBackwardData& o) const { return o.shape.k; }
  int64_t operator()(const LinearBackwardFilter& o) const { return o.shape.n; }
  int64_t operator()(const BiasBackward& o) const { return o.rows; }
  int64_t operator()(const MaxPoolBackward& o) const { return places(o.shape.window); }
  int64_t operator()(const AvgPoolForward& o) const { return places(o.shape.window); }
  int64_t operator()(const AvgPoolBackward& o) const { return places(o.shape.window); }
  int64_t operator()(const SoftmaxCrossEntropyForward& o) const { return o.k; }
  int64_t operator()(const SoftmaxCrossEntropyBackward& o) const { return o.forward.k; }
  int64_t operator()(const auto&) const { return 1; }
};

struct Tolerances {
  double u;
  size_t output;

  Tolerance sum(int64_t terms) const { return {(2 + 2 * std::sqrt(static_cast<double>(terms))) * u, Measure::absolute_sum}; }
  Tolerance loss(int64_t terms, int64_t divisor) const {
    return {(32 + 2 * std::sqrt(static_cast<double>(terms))) * u, Measure::value, 1 / static_cast<double>(divisor)};
  }
  static Tolerance exact() { return {}; }

  Tolerance operator()(const Augment&) const { return exact(); }
  Tolerance operator()(const Reorder&) const { return exact(); }
  Tolerance operator()(const Convert&) const { return exact(); }
  Tolerance operator()(const MaxPoolForward&) const { return exact(); }
  Tolerance operator()(const ActivationForward& o) const {
    if (o.activation == Activation::relu) return exact();
    return gradient_reads_input(o.activation) ? product() : Tolerance{8 * u, Measure::value};
  }
  Tolerance operator()(const ActivationBackward& o) const {
    return gradient_reads_input(o.activation) ? product() : Tolerance{8 * u, Measure::value, 1};
  }
  Tolerance product() const { return {16 * u, Measure::value, 1}; }
  Tolerance operator()(const BatchNormForward& o) const { return normalised(o.rows); }
  Tolerance operator()(const BatchNormInference&) const { return {16 * u, Measure::value, 1}; }
  Tolerance operator()(const BatchNormBackward& o) const {
    const double rows = static_cast<double>(o.rows);
    return output == 0 ? normalised(o.rows) : Tolerance{(8 + 2 * std::sqrt(rows)) * u, Measure::value, 2 * rows};
  }
  Tolerance normalised(int64_t rows) const { return {(8 + 8 * std::sqrt(static_cast<double>(rows))) * u, Measure::value, 1}; }
  Tolerance operator()(const Add&) const { return sum(1); }
  Tolerance operator()(const ConcatForward&) const { return exact(); }
  Tolerance operator()(const ShortcutForward&) const { return exact(); }
  Tolerance operator()(const GradientNorm& o) const {
    double terms = 0;
    for (const int64_t elements : o.elements) terms += static_cast<double>(elements);
    return {(2 + std::sqrt(terms)) * u, Measure::value};
  }
  Tolerance operator()(const SoftmaxCrossEntropyForward& o) const { return loss(terms_of(o), 1); }
  Tolerance operator()(const SoftmaxCrossEntropyBackward& o) const { return loss(terms_of(o), o.divisor); }
  Tolerance operator()(const BinaryCrossEntropyForward&) const { return loss(1, 1); }
  Tolerance operator()(const BinaryCrossEntropyBackward& o) const { return loss(1, o.divisor); }
  Tolerance operator()(const Score& o) const { return {static_cast<double>(o.n) * 0x1p-53, Measure::absolute_sum}; }  // summed in double
  Tolerance operator()(const Update& o) const { return {std::holds_alternative<Sgd>(o.rule) ? 8 * u : 16 * u, Measure::value, 1}; }
  Tolerance operator()(const auto& o) const { return sum(terms_of(o)); }  // linear in each input
};

}  // namespace

int64_t terms_of(const Op& op) { return std::visit(Terms(), op); }

Tolerance tolerance_of(const Op& op, size_t output) {
  const DType dtype = graph::outputs_of(op)[output].dtype;
  Tolerance tolerance = std::visit(Tolerances{unit_roundoff(dtype == DType::f64 ? DType::f64 : DType::f32), output}, op);
  if (graph::types_of(op).products == Products::tf32) tolerance.relative += 0x1p-10;
  if (is_small_float(dtype) && tolerance.relative > 0) tolerance.relative += unit_roundoff(dtype);
  return tolerance;
}

double unit_roundoff(DType dtype) {
  if (dtype == DType::f64) return 0x1p-53;
  if (dtype == DType::bf16) return 0x1p-8;
  return dtype == DType::fp16 ? 0x1p-11 : 0x1p-24;
}

double smallest_normal(DType dtype) {
  if (dtype == DType::f64) return std::numeric_limits<double>::min();
  return dtype == DType::fp16 ? 0x1p-14 : static_cast<double>(std::numeric_limits<float>::min());  // bf16 has the exponents of f32
}

}  // namespace fovea::study
