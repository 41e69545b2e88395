// Convolutions and linear layers by oneDNN, in float and in bf16; the rest by the kernels of `openmp`, in bf16 with conversions around
// them.
#pragma once

#include "fovea/backend/openmp/backend.h"

namespace fovea::onednn {

// The kernel of `openmp` for any operator: as it is in float, between conversions where tensors are bf16.
KernelPtr make_widened(const Op& op, const Limits& limits);

struct Widening {
  static KernelPtr make(const auto& op, const Limits& limits) { return make_widened(op, limits); }
};
template <class List>
class WideningBackend;
template <class... Every>
class WideningBackend<std::variant<Every...>> : public Implements<Widening, openmp::OpenmpBackend, Every...> {};

class OnednnBackend : public WideningBackend<Op> {
 public:
  std::string_view name() const override { return "onednn"; }
  std::string platform() override;

  using WideningBackend<Op>::make;
  KernelPtr make(const Convert&, const Limits&) override;
  KernelPtr make(const Conv2dForward&, const Limits&) override;
  KernelPtr make(const Conv2dBackwardData&, const Limits&) override;
  KernelPtr make(const Conv2dBackwardFilter&, const Limits&) override;
  KernelPtr make(const LinearForward&, const Limits&) override;
  KernelPtr make(const LinearBackwardData&, const Limits&) override;
  KernelPtr make(const LinearBackwardFilter&, const Limits&) override;
  KernelPtr make(const Update&, const Limits&) override;
  std::optional<Claim> claim(const Neighbours&, const Limits&) override;
};

}  // namespace fovea::onednn
