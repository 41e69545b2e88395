// Who is faster: the rows of a comparison in their order, and how far one is before another.
#pragma once

#include <vector>

#include "fovea/report/comparison.h"

namespace fovea::report {

// Those that ran and have a speed, the fastest first: by their medians of images/s.
std::vector<const ComparedRow*> by_speed(const Comparison& comparison);

struct Lead {
  double ratio = 1;          // of the speeds
  Known low, high;           // its 95 % interval
  bool is_combined = false;  // from those of both against a third row
  bool is_significant() const { return low && high && (*low > 1 || *high < 1); }
};
Lead lead_of(const ComparedRow& fast, const ComparedRow& slow);

}  // namespace fovea::report
