// What this backend takes as one step.
#include "fovea/backend/openmp/backend.h"

#include "fovea/backend/openmp/batchnorm_claims.h"
#include "fovea/backend/openmp/conv2d_block.h"

namespace fovea::openmp {

std::optional<Claim> OpenmpBackend::claim(const Neighbours& around, const Limits& limits) {
  if (std::optional<Claim> norm = claim_batch_norm(around, limits)) return norm;
  return eigen::claim_conv2d(around, limits, Conv2dBlocks());
}

}  // namespace fovea::openmp
