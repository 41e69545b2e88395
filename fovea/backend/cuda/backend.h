// Own CUDA kernels in float: products in tiles on the CUDA cores, no floating-point atomics, every sum in an order that the shape fixes.
#pragma once

#include "fovea/backend/backend.h"
#include "fovea/device/cuda.h"

namespace fovea::cuda {

class CudaBackend : public Backend {
 public:
  std::string_view name() const override { return "cuda"; }
  Device& device() override { return device_; }

  std::optional<Claim> claim(const Neighbours&, const Limits&) override;

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
  CudaDevice device_;
};

}  // namespace fovea::cuda
