// One gradient rule per forward operator, applied in reverse order.
#include "fovea/graph/backward.h"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

#include "fovea/base/error.h"

namespace fovea::graph {
namespace {

class Backward {
 public:
  Backward(Graph& graph, size_t first, int64_t divisor) : graph_(graph), divisor_(divisor), gradient_(graph.values.size(), no_value) {
    mark_needed(first);
    for (size_t i = graph.nodes.size(); i-- > first;) {
      const Node node = graph.nodes[i];  // a copy: rules append to graph.nodes
      node_ = &node;
      std::visit([&](const auto& op) { differentiate(op); }, node.op);
    }
  }

 private:
  // A value is needed if a parameter stands behind it.
  void mark_needed(size_t first) {
    needed_.resize(graph_.values.size());
    for (size_t id = 0; id < graph_.values.size(); ++id) needed_[id] = graph_.values[id].role == Role::parameter;
    for (size_t i = first; i < graph_.nodes.size(); ++i) {
      const Node& node = graph_.nodes[i];
      if (std::any_of(node.in.begin(), node.in.end(), [&](ValueId id) { return needed(id); }))
        for (const ValueId id : node.out) needed_[static_cast<size_t>(id)] = true;
    }
  }

  bool needed(ValueId id) const { return needed_[static_cast<size_t>(id)]; }
  ValueId in(size_t i) const { return node_->in[i]; }
  ValueId out(size_t i) const { return node_->out[i]; }
  ValueId& gradient_of(ValueId id) { return gradient_[static_cast<size_t>(id)]; }

  // The gradient of an output; no_value if nothing downstream depends on it.
  ValueId dy() { return gradient_of(out(0)); }

  // Writes the gradient of `target` with `op`, or adds to it if a consumer before has written it.
  template <class GradientOp>
  void write_gradient(ValueId target, GradientOp op, std::vector<ValueId> inputs) {
    if (!needed(target)) return;
    const bool is_parameter = graph_.value(target).role == Role::parameter;
    const std::string name = graph_.value(target).name + ".grad";
    ValueId existing = is_parameter ? graph_.find(name) : gradient_of(target);
    op.into = existing == no_value ? Into::overwrite : Into::add;
    if (existing == no_value) {
      const Value& value = graph_.value(target);
      existing = graph_.add_value({name, is_parameter ? Role::gradient : Role::activation, value.dtype, value.shape, no_value});
    }
    gradient_of(target) = existing;
    graph_.add_into(op, node_->name, std::move(inputs), {existing}, node_->micro_batch);
  }

  // The gradient of `target` is `same` itself, perhaps in another shape.
  void share_gradient(ValueId target, ValueId same) {
    if (!needed(target)) return;
    if (gradient_of(target) != no_value)
      throw Error(ExitCode::internal,
                  fmt::format("`{}` has several consumers, one of which only passes its gradient on", graph_.value(target).name));
    const Value& value = graph_.value(target);
    if (value.shape == graph_.value(same).shape) {
      gradient_of(target) = same;
    } else {
      gradient_of(target) = graph_.add_value({value.name + ".grad", Role::activation, value.dtype, value.shape, same});
    }
  }

  void differentiate(const Conv2dForward& op) {
    if (dy() == no_value) return;
    write_gradient(in(1), Conv2dBackwardFilter{op.shape, {}, op.types}, {in(0), dy()});
    write_gradient(in(0), Conv2dBackwardData{op.shape, {}, op.types}, {dy(), in(1)});
  }
  void differentiate(const LinearForward& op) {
    if (dy() == no_value) return;
    write_gradient(in(1), LinearBackwardFilter{op.shape, {}, op.types}, {in(0), dy()});
    write_gradient(in(0), LinearBackwardData{op.shape, {}, op.types}, {dy(), in(1)});
  }
  void differentiate(const BiasForward& op) {
    if (dy() == no_value) return;
    write_gradient(in(1), BiasBackward{op.rows, op.k, {}, op.types}, {dy()});
    share_gradient(in(0), dy());
  }
  void differentiate(const MaxPoolForward& op) {
    if (dy() != no_value) write_gradient(in(0), MaxPoolBackward{op.shape, {}, op.types}, {dy(), out(1)});
  }
  void differentiate(const AvgPoolForward& op) {
    if (dy() != no_value) write_gradient(in(0), AvgPoolBackward{op.shape, op.count_padding, {}, op.types}, {dy()});
  }
  void differentiate(const ActivationForward& op) {
    if (dy() != no_value) write_gradient(in(0), ActivationBackward{op.activation, op.elements, {}, op.types}, {out(0), dy()});
  }
  void differentiate(const DropoutForward& op) {
    if (dy() != no_value) write_gradient(in(0), DropoutBackward{op, {}}, {dy(), in(1)});
  }
  void differentiate(const Flatten&) {
    if (dy() != no_value) share_gradient(in(0), dy());
  }
  void differentiate(const SoftmaxCrossEntropyForward& op) { differentiate_loss(SoftmaxCrossEntropyBackward{op, divisor_}); }
  void differentiate(const BinaryCrossEntropyForward& op) { differentiate_loss(BinaryCrossEntropyBackward{op, divisor_}); }

  template <class LossBackward>
  void differentiate_loss(LossBackward op) {
    if (needed(in(0))) gradient_of(in(0)) = graph_.add(op, node_->name, {in(0), in(1)}, node_->micro_batch);
  }

  // Data, metrics and what is a gradient or an update itself pass no gradient on.
  template <class NoGradient>
  requires std::disjunction_v<std::is_same<NoGradient, Augment>, std::is_same<NoGradient, Reorder>, std::is_same<NoGradient, Score>,
                              std::is_same<NoGradient, Update>, std::is_same<NoGradient, Conv2dBackwardData>,
                              std::is_same<NoGradient, Conv2dBackwardFilter>, std::is_same<NoGradient, BiasBackward>,
                              std::is_same<NoGradient, LinearBackwardData>, std::is_same<NoGradient, LinearBackwardFilter>,
                              std::is_same<NoGradient, MaxPoolBackward>, std::is_same<NoGradient, AvgPoolBackward>,
                              std::is_same<NoGradient, ActivationBackward>, std::is_same<NoGradient, DropoutBackward>,
                              std::is_same<NoGradient, SoftmaxCrossEntropyBackward>, std::is_same<NoGradient, BinaryCrossEntropyBackward>>
  void differentiate(const NoGradient&) {}

  Graph& graph_;
  int64_t divisor_;
  const Node* node_ = nullptr;
  std::vector<ValueId> gradient_;  // by value of the forward graph
  std::vector<char> needed_;
};

}  // namespace

void add_backward(Graph& graph, size_t first, int64_t divisor) { Backward(graph, first, divisor); }

std::vector<ValueId> completion_order(const Graph& graph) {
  std::vector<ValueId> gradients;  // in the order of their last write
  for (const Node& node : graph.nodes)
    for (const ValueId id : node.out)
      if (graph.value(id).role == Role::gradient) {
        std::erase(gradients, id);
        gradients.push_back(id);
      }
  std::vector<ValueId> parameters;
  for (const ValueId id : gradients) {
    const std::string& name = graph.value(id).name;
    parameters.push_back(graph.find(std::string_view(name).substr(0, name.size() - std::string_view(".grad").size())));
  }
  return parameters;
}

}  // namespace fovea::graph
