// A kernel on the host: a function of its operator, its buffers and its workspace.
#pragma once

#include <utility>

#include "fovea/backend/backend.h"

namespace fovea {

template <class Op, class Function>
class HostKernel final : public Kernel {
 public:
  HostKernel(std::string_view provider, std::string algorithm, Op op, Function function, size_t workspace_bytes)
      : Kernel(provider), algorithm_(std::move(algorithm)), op_(std::move(op)), function_(function), workspace_bytes_(workspace_bytes) {}

  std::string algorithm() const override { return algorithm_; }
  size_t workspace_bytes() const override { return workspace_bytes_; }
  void bind(Buffers buffers, void* workspace) override {
    buffers_ = std::move(buffers);
    workspace_ = workspace;
  }
  void run(Stream&) override { function_(op_, buffers_, workspace_); }

 private:
  std::string algorithm_;
  Op op_;
  Function function_;
  size_t workspace_bytes_;
  Buffers buffers_;
  void* workspace_ = nullptr;
};

// function(op, buffers, workspace); how it was made is what `algorithm` says in the plan.
template <class Op, class Function>
KernelPtr host_kernel(std::string_view provider, std::string algorithm, Op op, Function function, size_t workspace_bytes = 0) {
  return std::make_unique<HostKernel<Op, Function>>(provider, std::move(algorithm), std::move(op), function, workspace_bytes);
}

}  // namespace fovea
