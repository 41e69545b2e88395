// Own CUDA kernels that compute in float, on values of 32 or 16 bits: products in tiles on the CUDA cores, no floating-point atomics, every
// sum in an order that the shape fixes.
#pragma once

#include "fovea/backend/backend.h"
#include "fovea/backend/load.h"
#include "fovea/device/cuda.h"

namespace fovea::cuda {

struct Kernels {
  template <class One>
  static KernelPtr make(const One& op, const Limits& limits);
};

class CudaBackend : public RootBackend<Kernels, Op>, public LoadMaker {
 public:
  std::string_view name() const override { return "cuda"; }
  Device& device() override { return device_; }
  std::optional<Claim> claim(const Neighbours&, const Limits&) override;
  KernelPtr make_load(const Load&, const Limits&) override;
  int64_t last_level_cache() const override;

 private:
  CudaDevice device_;
};

}  // namespace fovea::cuda
