// Convolutions by cuDNN and linear layers by cuBLASLt; whatever they have no engine for, and the rest, by the kernels of `cuda`.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cudnn/graph.h"
#include "fovea/backend/cudnn/product.h"

namespace fovea::cudnn {

class CudnnBackend : public cuda::CudaBackend {
 public:
  CudnnBackend() : graphs_(open_graphs()) {}
  std::string_view name() const override { return "cudnn"; }
  std::string platform() override;

  using CudaBackend::make;
  KernelPtr make(const Conv2dForward&, const Limits&) override;
  KernelPtr make(const Conv2dBackwardData&, const Limits&) override;
  KernelPtr make(const Conv2dBackwardFilter&, const Limits&) override;
  KernelPtr make(const LinearForward&, const Limits&) override;
  KernelPtr make(const LinearBackwardData&, const Limits&) override;
  KernelPtr make(const LinearBackwardFilter&, const Limits&) override;
  std::optional<Claim> claim(const Neighbours&, const Limits&) override;

 private:
  // No engine where the libraries have none.
  Chosen chosen(const Convolution& convolution, const Limits& limits);
  Chosen chosen(const MatrixProduct& product, const Limits& limits);
  Chosen chosen(const Problem& problem, const Limits& limits, const std::function<std::unique_ptr<Offer>()>& offer);
  bool has_engine(const Op& op, const Limits& limits);
  bool is_left_to_cuda(std::span<const graph::Node> nodes, const Neighbours& around, const Limits& limits);
  std::optional<Claim> product_with_bias(const Neighbours& around, const Limits& limits);

  std::shared_ptr<Graphs> graphs_;
  std::shared_ptr<ProductLibrary> products_;     // opened by the first linear layer, for that takes a tenth of a second
  std::map<std::string, Chosen> first_, tuned_;  // by problem, without a tuning and with one: several layers share an engine
};

}  // namespace fovea::cudnn
