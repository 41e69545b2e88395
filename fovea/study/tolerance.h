// How far a backend may be from the exact result: the one place for tolerances. They are derived, not fitted; see tolerance.cpp.
#pragma once

#include "fovea/graph/op.h"

namespace fovea::study {

// |got - exact| <= relative * measure, where the measure of an element is
enum class Measure : uint8_t {
  absolute_sum,  // the operator's result for the absolute values of all its inputs: sum |x w|; for operators that are linear in each input
  value,         // floor + |exact|
};

struct Tolerance {
  double relative = 0;
  Measure measure = Measure::value;
  double floor = 0;
};

// Of one output. `dtype` is that of the values and the accumulator.
Tolerance tolerance_of(const Op& op, DType dtype, size_t output = 0);

// Products or summands behind one element of the result; 1 where nothing is summed.
int64_t terms_of(const Op& op);

}  // namespace fovea::study
