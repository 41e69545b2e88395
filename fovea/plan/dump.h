// A plan as text: what `fovea plan` prints.
#pragma once

#include <string>

#include "fovea/plan/plan.h"

namespace fovea::plan {

// One line per step (name, operator or claim, backend, algorithm, output, bytes moved, FLOPs), then the arenas.
std::string dump(const Plan& plan);

// One line per layer with its operators or claims in order; a step of another provider than its backend names it. The same on every
// machine.
std::string outline(const Plan& plan);

}  // namespace fovea::plan
