// What this backend takes as one step.
#include "fovea/backend/openmp/backend.h"

namespace fovea::openmp {

std::optional<Claim> OpenmpBackend::claim(const Neighbours& around, const Limits& limits) { return EigenBackend::claim(around, limits); }

}  // namespace fovea::openmp
