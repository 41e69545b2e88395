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
// Updates. Sgd rounds g, m, the change and w: at most 8 roundings of values up to 1 + rate. Adam adds two roots, two divisions and a power;
// their errors scale with a change of at most ten times the rate: 16 u of values around 1 holds both.
#include "fovea/study/tolerance.h"

#include <cmath>

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

  Tolerance sum(int64_t terms) const { return {(2 + 2 * std::sqrt(static_cast<double>(terms))) * u, Measure::absolute_sum}; }
  Tolerance loss(int64_t terms, int64_t divisor) const {
    return {(32 + 2 * std::sqrt(static_cast<double>(terms))) * u, Measure::value, 1 / static_cast<double>(divisor)};
  }
  static Tolerance exact() { return {}; }

  Tolerance operator()(const Augment&) const { return exact(); }
  Tolerance operator()(const Reorder&) const { return exact(); }
  Tolerance operator()(const MaxPoolForward&) const { return exact(); }
  Tolerance operator()(const ActivationForward& o) const {
    return o.activation == Activation::relu ? exact() : Tolerance{8 * u, Measure::value};
  }
  Tolerance operator()(const ActivationBackward&) const { return {8 * u, Measure::value, 1}; }
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

Tolerance tolerance_of(const Op& op, DType dtype) { return std::visit(Tolerances{dtype == DType::f64 ? 0x1p-53 : 0x1p-24}, op); }

}  // namespace fovea::study
