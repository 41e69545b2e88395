// Memory on which steps are timed before there is a plan: random data, finite and such as operators may meet.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <vector>

#include "fovea/backend/backend.h"

namespace fovea::plan {

// Of one graph. All is freed with its owner.
class Scratch {
 public:
  Scratch(Backend& backend, const graph::Graph& graph, DependentLaunches launches);

  // Binds the kernel to memory for these values and for its workspace; kernels that touch the same value share its memory.
  void bind(Kernel& kernel, const std::vector<graph::ValueId>& in, const std::vector<graph::ValueId>& out);

  // Of one run of each of these bound kernels: the median of several values, taken in turns, so that a clock that changes does so for all.
  std::vector<double> seconds(std::span<const KernelPtr> kernels);

 private:
  using Bytes = std::vector<std::byte>;
  Tensor tensor(graph::ValueId id, const Layout& layout);
  void fill(graph::ValueId storage, std::byte* to, size_t bytes);
  const graph::Node* writer_of(graph::ValueId storage) const;

  Backend& backend_;
  const graph::Graph& graph_;
  Device& device_;
  std::unique_ptr<Stream> stream_;
  std::map<graph::ValueId, Memory*> memory_of_;  // by storage
  std::vector<std::unique_ptr<Memory>> memory_;
  std::vector<KernelPtr> kernels_;  // that have filled some of it
};

}  // namespace fovea::plan
