// Measured times in a few numbers that a disturbed run cannot move far.
#pragma once

#include <span>

namespace fovea::study {

struct Spread {
  double least = 0, median = 0, p90 = 0;  // nine of ten values are at most p90
  double mad = 0;                         // median distance from the median
};

Spread spread_of(std::span<const double> values);  // of at least one; between two values a share is interpolated

struct Quartiles {
  double q1 = 0, median = 0, q3 = 0;
};

Quartiles quartiles_of(std::span<const double> values);  // likewise

}  // namespace fovea::study
