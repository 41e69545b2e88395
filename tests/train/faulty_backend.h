// A backend in which one value becomes NaN or infinite in one step.
#pragma once

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "fovea/backend/backend.h"

namespace fovea::train {

struct Fault {
  std::string value;    // "conv1.weight.grad"
  uint32_t step = 0;    // StepControl::step
  uint64_t images = 0;  // StepControl::images: tells training from evaluation
  float bad = std::numeric_limits<float>::quiet_NaN();
  size_t elements = 1;  // so many of the first
};

// Spoils the output number `place` of another kernel, which gets all inputs but the last: that is the StepControl.
class FaultyKernel final : public Kernel {
 public:
  FaultyKernel(KernelPtr inner, Device& device, Fault fault, size_t place)
      : Kernel(inner->provider()), inner_(std::move(inner)), device_(device), fault_(std::move(fault)), place_(place) {}
  std::string algorithm() const override { return inner_->algorithm(); }
  int threads() const override { return inner_->threads(); }
  size_t workspace_bytes() const override { return inner_->workspace_bytes(); }
  Layout output_layout(size_t i) const override { return inner_->output_layout(i); }
  void bind(Buffers buffers, void* workspace) override {
    control_ = buffers.in.back();
    target_ = buffers.out[place_];
    buffers.in.pop_back();
    inner_->bind(std::move(buffers), workspace);
  }
  void run(Stream& stream) override {
    StepControl control;  // which an update moves on
    device_.download(&control, control_.data, sizeof control, stream);
    inner_->run(stream);
    stream.synchronize();
    if (control.step != fault_.step || control.images != fault_.images) return;
    const std::vector<float> bad(std::min(fault_.elements, static_cast<size_t>(target_.shape.elements())), fault_.bad);
    device_.upload(target_.data, bad.data(), bad.size() * sizeof(float), stream);
  }

 private:
  KernelPtr inner_;
  Device& device_;
  Fault fault_;
  size_t place_;
  Tensor control_, target_;
};

class Wrapping : public Backend {
 public:
  explicit Wrapping(std::unique_ptr<Backend> inner) : inner_(std::move(inner)) {}

 protected:
  Backend& inner() const { return *inner_; }

 private:
  std::unique_ptr<Backend> inner_;
};

template <class List>
class MakesAsInner;
template <class... Every>
class Forwards : public Wrapping {
 public:
  using Wrapping::make;
  using Wrapping::Wrapping;
};
template <class One, class... Rest>
class Forwards<One, Rest...> : public Forwards<Rest...> {
 public:
  using Forwards<Rest...>::Forwards;
  using Forwards<Rest...>::make;
  KernelPtr make(const One& op, const Limits& limits) override { return fovea::make(this->inner(), op, limits); }
};
template <class... Every>
class MakesAsInner<std::variant<Every...>> : public Forwards<Every...> {
 public:
  using Forwards<Every...>::Forwards;
};

// What a step writes, by name.
struct Written {
  std::vector<std::string> training, evaluation;
};

class FaultyBackend final : public MakesAsInner<Op> {
 public:
  FaultyBackend(std::unique_ptr<Backend> inner, Fault fault, Written* written = nullptr)
      : MakesAsInner<Op>(std::move(inner)), fault_(std::move(fault)), written_(written) {}
  std::string_view name() const override { return inner().name(); }
  Device& device() override { return inner().device(); }

  std::optional<Claim> claim(const Neighbours& neighbours, const Limits& limits) override {
    std::optional<Claim> claim = inner().claim(neighbours, limits);
    const graph::Node& node = neighbours.nodes[0];
    const graph::Graph& graph = neighbours.graph;
    const std::vector<graph::ValueId>& out = claim ? claim->out : node.out;
    if (written_ != nullptr) take_note(graph, out);
    const auto found = std::find(out.begin(), out.end(), graph.find(fault_.value));
    if (found == out.end()) return claim;
    const size_t place = static_cast<size_t>(found - out.begin());
    if (!claim) claim = Claim{1, std::string(name_of(node.op)), fovea::make(inner(), node.op, limits), node.in, node.out};
    claim->kernel = std::make_unique<FaultyKernel>(std::move(claim->kernel), device(), fault_, place);
    claim->in.push_back(graph.find("control"));
    return claim;
  }

 private:
  void take_note(const graph::Graph& graph, const std::vector<graph::ValueId>& out) {
    const bool trains = std::holds_alternative<Update>(graph.nodes.back().op);
    std::vector<std::string>& names = trains ? written_->training : written_->evaluation;
    for (const graph::ValueId id : out)
      if (graph.value(id).dtype == DType::f32 && std::find(names.begin(), names.end(), graph.value(id).name) == names.end())
        names.push_back(graph.value(id).name);
  }

  Fault fault_;
  Written* written_;
};

}  // namespace fovea::train
