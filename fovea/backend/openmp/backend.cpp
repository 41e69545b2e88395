// What this backend takes as one step.
#include "fovea/backend/openmp/backend.h"

#include "fovea/backend/openmp/batchnorm_claims.h"

namespace fovea::openmp {

std::optional<Claim> OpenmpBackend::claim(const Neighbours& around, const Limits& limits) {
  if (std::optional<Claim> norm = claim_batch_norm(around, limits)) return norm;
  return EigenBackend::claim(around, limits);
}

}  // namespace fovea::openmp
