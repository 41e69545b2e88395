// How far a backend may be from the exact result: the one place for tolerances. They are derived, not fitted; see tolerance.cpp.
#pragma once

#include "fovea/graph/op.h"

namespace fovea::study {

// |got - exact| <= relative * measure, where the measure of an element, if it is not below the smallest normal number of its type, is
enum class Measure : uint8_t {
  absolute_sum,  // the operator's result for the absolute values of all its inputs: sum |x w|; for operators that are linear in each input
  value,         // floor + |exact|
};

struct Tolerance {
  double relative = 0;
  Measure measure = Measure::value;
  double floor = 0;
};

// Of one output, in the types of the operator. A relative tolerance of 0 is that of the exact result, rounded once to the output's type.
Tolerance tolerance_of(const Op& op, size_t output = 0);

double smallest_normal(DType dtype);  // below it all numbers round as it does
double unit_roundoff(DType dtype);    // the largest relative error of a number that is rounded to the nearest

// Products or summands behind one element of the result; 1 where nothing is summed.
int64_t terms_of(const Op& op);

}  // namespace fovea::study
