// The seam that every implementation of the operators fits: make (slow, may throw), place, bind (once), run (enqueue only).
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/device/device.h"
#include "fovea/graph/graph.h"
#include "fovea/tensor/tensor.h"

namespace fovea {

// How the elements of an activation lie in memory. "nhwc" is what every value has unless two kernels agree on another one.
struct Layout {
  std::string tag = "nhwc";
  size_t bytes = 0;  // 0: what the dense tensor takes
  bool operator==(const Layout&) const = default;
};

// Final addresses, in the order that op.h gives. They outlive the kernel's last run.
struct Buffers {
  std::vector<Tensor> in, out;
};

// One step of a plan: shapes fixed, algorithm chosen.
class Kernel {
 public:
  explicit Kernel(std::string_view provider) : provider_(provider) {}
  virtual ~Kernel() = default;
  std::string_view provider() const { return provider_; }  // the backend whose code this is, perhaps a parent of the one that was asked
  virtual std::string algorithm() const = 0;               // for plan, records and report
  virtual int threads() const { return 1; }
  virtual size_t workspace_bytes() const { return 0; }
  virtual Layout input_layout(size_t) const { return {}; }  // what the kernel wishes, by position
  virtual Layout output_layout(size_t) const { return {}; }
  virtual void bind(Buffers buffers, void* workspace) = 0;  // once, with memory aligned to 256 bytes
  virtual void run(Stream& stream) = 0;                     // no allocation, no synchronisation, no decision

 private:
  std::string_view provider_;
};
using KernelPtr = std::unique_ptr<Kernel>;

struct Limits {
  int threads = 1;
};

// Several neighbouring nodes taken as one step. Values that it neither reads nor writes need no memory.
struct Claim {
  size_t nodes = 0;
  std::string name;  // "conv2d+bias+relu"
  KernelPtr kernel;
  std::vector<graph::ValueId> in, out;
};

// The nodes from the present one on that have this backend, and what the whole graph does with the values between them.
struct Neighbours {
  const graph::Graph& graph;
  std::span<const graph::Node> nodes;
  std::span<const int> uses;  // by ValueId: how many nodes read the value or a view of it
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view name() const = 0;
  virtual Device& device() = 0;

  // One line per operator: a new operator does not compile until the roots of both chains implement it.
  virtual KernelPtr make(const Augment&, const Limits&) = 0;
  virtual KernelPtr make(const Reorder&, const Limits&) = 0;
  virtual KernelPtr make(const Conv2dForward&, const Limits&) = 0;
  virtual KernelPtr make(const Conv2dBackwardData&, const Limits&) = 0;
  virtual KernelPtr make(const Conv2dBackwardFilter&, const Limits&) = 0;
  virtual KernelPtr make(const BiasForward&, const Limits&) = 0;
  virtual KernelPtr make(const BiasBackward&, const Limits&) = 0;
  virtual KernelPtr make(const LinearForward&, const Limits&) = 0;
  virtual KernelPtr make(const LinearBackwardData&, const Limits&) = 0;
  virtual KernelPtr make(const LinearBackwardFilter&, const Limits&) = 0;
  virtual KernelPtr make(const MaxPoolForward&, const Limits&) = 0;
  virtual KernelPtr make(const MaxPoolBackward&, const Limits&) = 0;
  virtual KernelPtr make(const AvgPoolForward&, const Limits&) = 0;
  virtual KernelPtr make(const AvgPoolBackward&, const Limits&) = 0;
  virtual KernelPtr make(const ActivationForward&, const Limits&) = 0;
  virtual KernelPtr make(const ActivationBackward&, const Limits&) = 0;
  virtual KernelPtr make(const DropoutForward&, const Limits&) = 0;
  virtual KernelPtr make(const DropoutBackward&, const Limits&) = 0;
  virtual KernelPtr make(const SoftmaxCrossEntropyForward&, const Limits&) = 0;
  virtual KernelPtr make(const SoftmaxCrossEntropyBackward&, const Limits&) = 0;
  virtual KernelPtr make(const BinaryCrossEntropyForward&, const Limits&) = 0;
  virtual KernelPtr make(const BinaryCrossEntropyBackward&, const Limits&) = 0;
  virtual KernelPtr make(const Score&, const Limits&) = 0;
  virtual KernelPtr make(const Update&, const Limits&) = 0;
  KernelPtr make(const Flatten&, const Limits&) { return nullptr; }  // a view of memory: no step

  virtual std::optional<Claim> claim(const Neighbours&, const Limits&) { return std::nullopt; }
};

KernelPtr make(Backend& backend, const Op& op, const Limits& limits);

}  // namespace fovea
