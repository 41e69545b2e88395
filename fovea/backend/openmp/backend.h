// Own blocked, vectorised kernels on all cores, in float. What it has not is the parent's.
#pragma once

#include "fovea/backend/eigen/backend.h"

namespace fovea::openmp {

class OpenmpBackend : public eigen::EigenBackend {
 public:
  std::string_view name() const override { return "openmp"; }

  std::optional<Claim> claim(const Neighbours&, const Limits&) override;

  using EigenBackend::make;
  KernelPtr make(const Conv2dForward&, const Limits&) override;
  KernelPtr make(const Conv2dBackwardData&, const Limits&) override;
  KernelPtr make(const Conv2dBackwardFilter&, const Limits&) override;
  KernelPtr make(const LinearForward&, const Limits&) override;
  KernelPtr make(const LinearBackwardData&, const Limits&) override;
  KernelPtr make(const LinearBackwardFilter&, const Limits&) override;
};

}  // namespace fovea::openmp
