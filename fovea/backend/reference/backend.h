// The judge: plain loops in the order of the formulas, accumulating in double, for float and double tensors. Never tuned.
#pragma once

#include "fovea/backend/backend.h"

namespace fovea::reference {

class ReferenceBackend : public Backend {
 public:
  ReferenceBackend() : device_(make_host_device()) {}
  std::string_view name() const override { return "reference"; }
  Device& device() override { return *device_; }

  using Backend::make;
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
  KernelPtr make(const ActivationForward&, const Limits&) override;
  KernelPtr make(const ActivationBackward&, const Limits&) override;
  KernelPtr make(const DropoutForward&, const Limits&) override;
  KernelPtr make(const DropoutBackward&, const Limits&) override;
  KernelPtr make(const SoftmaxCrossEntropyForward&, const Limits&) override;
  KernelPtr make(const SoftmaxCrossEntropyBackward&, const Limits&) override;
  KernelPtr make(const BinaryCrossEntropyForward&, const Limits&) override;
  KernelPtr make(const BinaryCrossEntropyBackward&, const Limits&) override;
  KernelPtr make(const Score&, const Limits&) override;
  KernelPtr make(const Update&, const Limits&) override;

 private:
  std::unique_ptr<Device> device_;
};

}  // namespace fovea::reference
