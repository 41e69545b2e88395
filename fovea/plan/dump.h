// A plan as text: what `fovea plan` prints.
#pragma once

#include <string>

#include "fovea/plan/plan.h"

namespace fovea::plan {

// One line per step (name, operator or claim, backend, algorithm, output, bytes moved, FLOPs), then the arenas.
std::string dump(const Plan& plan);

}  // namespace fovea::plan
