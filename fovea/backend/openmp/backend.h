// Own blocked, vectorised kernels on all cores, in float. What it has not is the parent's.
#pragma once

#include "fovea/backend/eigen/backend.h"
#include "fovea/backend/load.h"

namespace fovea::openmp {

class OpenmpBackend : public eigen::EigenBackend, public LoadMaker {
 public:
  std::string_view name() const override { return "openmp"; }

  std::optional<Claim> claim(const Neighbours&, const Limits&) override;
  KernelPtr make_load(const Load&, const Limits&) override;
  int64_t last_level_cache() const override;

  using EigenBackend::make;
  KernelPtr make(const Augment&, const Limits&) override;
  KernelPtr make(const Reorder&, const Limits&) override;
  KernelPtr make(const Conv2dForward&, const Limits&) override;
  KernelPtr make(const Conv2dBackwardData&, const Limits&) override;
  KernelPtr make(const Conv2dBackwardFilter&, const Limits&) override;
  KernelPtr make(const BiasForward&, const Limits&) override;
  KernelPtr make(const BiasBackward&, const Limits&) override;
  KernelPtr make(const LinearForward&, const Limits&) override;
  KernelPtr make(const LinearBackwardData&, const Limits&) override;
  KernelPtr make(const LinearBackwardFilter&, const Limits&) override;
  KernelPtr make(const MaxPoolForward&, const Limits&) override;
  KernelPtr make(const MaxPoolBackward&, const Limits&) override;
  KernelPtr make(const AvgPoolForward&, const Limits&) override;
  KernelPtr make(const AvgPoolBackward&, const Limits&) override;
  KernelPtr make(const BatchNormForward&, const Limits&) override;
  KernelPtr make(const BatchNormInference&, const Limits&) override;
  KernelPtr make(const BatchNormBackward&, const Limits&) override;
  KernelPtr make(const ActivationForward&, const Limits&) override;
  KernelPtr make(const ActivationBackward&, const Limits&) override;
  KernelPtr make(const Add&, const Limits&) override;
  KernelPtr make(const ConcatForward&, const Limits&) override;
  KernelPtr make(const ConcatBackward&, const Limits&) override;
  KernelPtr make(const ShortcutForward&, const Limits&) override;
  KernelPtr make(const ShortcutBackward&, const Limits&) override;
  KernelPtr make(const DropoutForward&, const Limits&) override;
  KernelPtr make(const DropoutBackward&, const Limits&) override;
  KernelPtr make(const SoftmaxCrossEntropyForward&, const Limits&) override;
  KernelPtr make(const SoftmaxCrossEntropyBackward&, const Limits&) override;
  KernelPtr make(const BinaryCrossEntropyForward&, const Limits&) override;
  KernelPtr make(const BinaryCrossEntropyBackward&, const Limits&) override;
  KernelPtr make(const Score&, const Limits&) override;
  KernelPtr make(const GradientNorm&, const Limits&) override;
  KernelPtr make(const Update&, const Limits&) override;
};

}  // namespace fovea::openmp
