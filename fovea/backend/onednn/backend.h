// Convolutions and linear layers by oneDNN, in float and in bf16; the rest by the kernels of `openmp`, in bf16 with conversions around
// them.
#pragma once

#include "fovea/backend/openmp/backend.h"

namespace fovea::onednn {

// The kernel of `openmp` for any operator: as it is in float, between conversions where tensors are bf16.
KernelPtr make_widened(const Op& op, const Limits& limits);

class OnednnBackend : public openmp::OpenmpBackend {
 public:
  std::string_view name() const override { return "onednn"; }
  std::string platform() override;

  std::optional<Claim> claim(const Neighbours&, const Limits&) override;

  using OpenmpBackend::make;
  KernelPtr make(const Convert&, const Limits&) override;
  KernelPtr make(const Conv2dForward&, const Limits&) override;
  KernelPtr make(const Conv2dBackwardData&, const Limits&) override;
  KernelPtr make(const Conv2dBackwardFilter&, const Limits&) override;
  KernelPtr make(const LinearForward&, const Limits&) override;
  KernelPtr make(const LinearBackwardData&, const Limits&) override;
  KernelPtr make(const LinearBackwardFilter&, const Limits&) override;
  KernelPtr make(const Update&, const Limits&) override;
  // Widened. One by one, since a chain of classes over the list of operators, as the roots have it, takes the compiler half a minute here.
  KernelPtr make(const Augment&, const Limits&) override;
  KernelPtr make(const Reorder&, const Limits&) override;
  KernelPtr make(const BiasForward&, const Limits&) override;
  KernelPtr make(const BiasBackward&, const Limits&) override;
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
};

}  // namespace fovea::onednn
