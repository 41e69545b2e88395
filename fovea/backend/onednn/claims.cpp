// What this backend takes as one step.
#include "fovea/backend/onednn/backend.h"
#include "fovea/backend/onednn/widening.h"
#include "fovea/graph/precision.h"

namespace fovea::onednn {

std::optional<Claim> OnednnBackend::claim(const Neighbours& around, const Limits& limits) {
  const Types types = graph::types_of(around.nodes[0].op);
  if (types.x == DType::bf16 || types.y == DType::bf16) return claim_between_conversions(around, limits);
  return OpenmpBackend::claim(around, limits);
}

}  // namespace fovea::onednn
