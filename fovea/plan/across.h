// Several backends in the same memory: each step is that of the fastest, by measurement.
#pragma once

#include <vector>

#include "fovea/plan/steps.h"

namespace fovea::plan {

// At every node the backend of the assignment and its rivals offer their kernel and their claims. Those of the same nodes are timed against
// each other, a claim also against the steps that it stands for, and the plan takes the steps whose times add up to the least. Equal
// problems are measured once; what Limits::tuning knows is not measured. Reorders between layouts are not counted.
std::vector<Step> steps_across(const Offering& offering);

}  // namespace fovea::plan
