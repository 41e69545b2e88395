// The seam that every implementation of the operators fits: make (slow, may throw), place, bind (once), run (enqueue only).
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "fovea/backend/tuning.h"
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
  virtual void bind(Buffers buffers, void* workspace) = 0;  // memory aligned to 256 bytes; on the host again where it has moved
  virtual void run(Stream& stream) = 0;                     // no allocation, no synchronisation, no decision
  // The same behind a kernel whose last launch touches nothing that this one writes and writes nothing that this one reads, and lets it
  // begin only when what came in front of that launch has ended.
  virtual bool can_run_early() const { return false; }
  virtual void run_early(Stream& stream) { run(stream); }

 private:
  std::string_view provider_;
};
using KernelPtr = std::unique_ptr<Kernel>;

struct Limits {
  int threads = 1;
  Tuning* tuning = nullptr;  // nullptr: nothing is measured, and each maker decides by shapes alone
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

// `make(const Conv2dForward&, const Limits&)` and its like, one for each operator of the closed list.
template <class One>
class Maker {
 public:
  virtual ~Maker() = default;
  virtual KernelPtr make(const One&, const Limits&) = 0;
};
template <class List>
class Makers;
template <class... Every>
class Makers<std::variant<Every...>> : public Maker<Every>... {
 public:
  using Maker<Every>::make...;
};

class Backend : public Makers<Op> {
 public:
  virtual std::string_view name() const = 0;
  virtual Device& device() = 0;
  virtual std::string platform() { return device().platform(); }  // what measured times hold for: with the versions of libraries
  virtual std::optional<Claim> claim(const Neighbours&, const Limits&) { return std::nullopt; }
};

// Implements every operator of the list by Kernels::make<Operator>, which the files of the operator families define:
// the root of a chain of backends. An operator that one of the roots leaves out does not link.
template <class Kernels, class Base, class... Every>
class Implements : public Base {
 public:
  using Base::make;
};
template <class Kernels, class Base, class One, class... Rest>
class Implements<Kernels, Base, One, Rest...> : public Implements<Kernels, Base, Rest...> {
 public:
  using Implements<Kernels, Base, Rest...>::make;
  KernelPtr make(const One& op, const Limits& limits) override {
    if constexpr (std::is_same_v<One, Flatten>)
      return nullptr;  // a view of memory: no step
    else
      return Kernels::make(op, limits);
  }
};
template <class Kernels, class List>
class RootBackend;
template <class Kernels, class... Every>
class RootBackend<Kernels, std::variant<Every...>> : public Implements<Kernels, Backend, Every...> {};

KernelPtr make(Backend& backend, const Op& op, const Limits& limits);

}  // namespace fovea
