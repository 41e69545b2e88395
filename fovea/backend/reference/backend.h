// The judge: plain loops in the order of the formulas, accumulating in double, for tensors of any float. Never tuned.
#pragma once

#include "fovea/backend/backend.h"

namespace fovea::reference {

struct Kernels {
  template <class One>
  static KernelPtr make(const One& op, const Limits& limits);
};

class ReferenceBackend : public RootBackend<Kernels, Op> {
 public:
  ReferenceBackend() : device_(make_host_device()) {}
  std::string_view name() const override { return "reference"; }
  Device& device() override { return *device_; }

 private:
  std::unique_ptr<Device> device_;
};

}  // namespace fovea::reference
