// The loops of the parents over ranges of bf16, each range widened into the cache of its thread and narrowed out of it again.
#pragma once

#include "fovea/backend/backend.h"
#include "fovea/backend/openmp/batchnorm_claims.h"

namespace fovea::onednn {

KernelPtr in_ranges(const Op& op, const Limits& limits);  // nullptr where the parents have no loops over ranges
// Batch norms with what stands behind them, or with nothing.
KernelPtr norm_in_ranges(const openmp::NormMatch& match, const Limits& limits);
KernelPtr sums_in_ranges(const BatchNormBackward& op, const Limits& limits);
enum class Mask : uint8_t { none, by_y };
KernelPtr sums_in_ranges(const BiasBackward& op, const Limits& limits, Mask mask = Mask::none);  // by_y: in: y dy   out: dx db

}  // namespace fovea::onednn
