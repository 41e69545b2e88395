// Batch norms with what stands behind them, as one step.
#pragma once

#include <variant>

#include "fovea/backend/backend.h"
#include "fovea/backend/eigen/batchnorm_rows.h"

namespace fovea::openmp {

// batch_norm_forward or batch_norm_inference, and what follows.
template <class Op>
struct FusedNorm {
  Op norm;
  bool adds = false;
  eigen::Rectify rectify = eigen::Rectify::no;
};  // in: those of the batch norm, other if it adds   out: as the batch norm

// The gradient of the rectifier is made in the first pass: from x where the rectifier took the batch norm itself, else from its output y,
// and then it is kept for the other branch.
struct FusedNormBackward {
  BatchNormBackward norm;
  enum class Mask : uint8_t { from_x, from_y } mask = Mask::from_x;
};  // in: x dy scale mean variance, then shift or y   out: with y the rectifier's gradient first; then as the batch norm

eigen::BatchNormRun run_of(const FusedNorm<BatchNormForward>& fused, const Buffers& buffers);
eigen::BatchNormRun run_of(const FusedNorm<BatchNormInference>& fused, const Buffers& buffers);
eigen::BatchNormGradient run_of(const FusedNormBackward& fused, const Buffers& buffers);

struct NormMatch {
  std::variant<FusedNorm<BatchNormForward>, FusedNorm<BatchNormInference>, FusedNormBackward> fused;
  Claim claim;  // without its kernel
};
// batch_norm [add] [relu], at least one of them; or relu_backward batch_norm_backward.
std::optional<NormMatch> match_batch_norm(const Neighbours& around);
std::optional<Claim> claim_batch_norm(const Neighbours& around, const Limits& limits);

}  // namespace fovea::openmp
