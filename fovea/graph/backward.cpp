// One gradient rule per forward operator, applied in reverse order.
#include "fovea/graph/backward.h"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

#include "fovea/base/error.h"

namespace fovea::graph {
namespace {

template <class One, class... Some>
concept is_any_of = (std::is_same_v<One, Some> || ...);

class Backward {
 public:
  Backward(Graph& graph, size_t first, int64_t divisor) : graph_(graph), divisor_(divisor), gradient_(graph.values.size(), no_value) {
    mark_needed(first);
    note_producers(first);
    for (size_t i = graph.nodes.size(); i-- > first;) {
      const Node node = graph.nodes[i];  // a copy: rules append to graph.nodes
      node_ = &node;
      at_ = i;
      std::visit([&](const auto& op) { differentiate(op); }, node.op);
    }
  }

 private:
  // A value is needed if a parameter stands behind it.
  void mark_needed(size_t first) {
    needed_.resize(graph_.values.size());
    for (size_t id = 0; id < graph_.values.size(); ++id) needed_[id] = is_trained(graph_.value(parameter_of(static_cast<ValueId>(id))));
    for (size_t i = first; i < graph_.nodes.size(); ++i) {
      const Node& node = graph_.nodes[i];
      if (std::any_of(node.in.begin(), node.in.end(), [&](ValueId id) { return needed(id); }))
        for (const ValueId id : node.out) needed_[static_cast<size_t>(id)] = true;
    }
  }

  void note_producers(size_t first) {
    producer_.resize(graph_.values.size(), first);
    for (size_t i = first; i < graph_.nodes.size(); ++i)
      for (const ValueId id : graph_.nodes[i].out) producer_[static_cast<size_t>(id)] = i;
  }

  static bool is_trained(const Value& value) { return value.role == Role::parameter && !value.frozen; }
  ValueId parameter_of(ValueId id) const { return graph_.value(id).copy_of != no_value ? graph_.value(id).copy_of : id; }

  bool needed(ValueId id) const { return needed_[static_cast<size_t>(id)]; }
  ValueId in(size_t i) const { return node_->in[i]; }
  ValueId out(size_t i) const { return node_->out[i]; }
  ValueId& gradient_of(ValueId id) { return gradient_[static_cast<size_t>(id)]; }

  // The gradient of an output; no_value if nothing downstream depends on it.
  ValueId dy() { return gradient_of(out(0)); }

  struct Slot {
    ValueId gradient;
    Into into;
  };

  // Where the gradient of `target` is written, or added to if a consumer before has written it.
  Slot slot_of(ValueId target) {
    const Value& value = graph_.value(target);
    if (!needed(target)) return {new_gradient(value.name + ".unused", target, Role::activation), Into::overwrite};
    const bool is_parameter = value.role == Role::parameter;
    const std::string name = value.name + ".grad";
    const ValueId existing = is_parameter ? graph_.find(name) : gradient_of(target);
    const Into into = existing == no_value ? Into::overwrite : Into::add;
    gradient_of(target) = existing == no_value ? new_gradient(name, target, is_parameter ? Role::gradient : Role::activation) : existing;
    return {gradient_of(target), into};
  }

  ValueId new_gradient(std::string name, ValueId target, Role role) {
    const Value& value = graph_.value(target);
    return graph_.add_value({std::move(name), role, value.dtype, value.shape});
  }

  template <class GradientOp>
  void write_gradient(ValueId target, GradientOp op, std::vector<ValueId> inputs) {
    if (!needed(target)) return;
    if (is_still_read(target)) {
      op.into = Into::overwrite;
      const ValueId part = new_gradient(part_name(target), target, Role::activation);
      graph_.add_into(op, node_->name, std::move(inputs), {part}, node_->micro_batch);
      sum_gradients(target, part);
      return;
    }
    const Slot slot = slot_of(target);
    op.into = slot.into;
    graph_.add_into(op, node_->name, std::move(inputs), {slot.gradient}, node_->micro_batch);
  }

  std::string part_name(ValueId target) const { return fmt::format("{}.grad.of_{}", graph_.value(target).name, node_->name); }

  // Whether the gradient of `target` is also that of another value (see share_gradient), and has to stay as it is until that one is done.
  bool is_still_read(ValueId target) {
    if (graph_.value(target).role == Role::parameter || gradient_of(target) == no_value) return false;
    const ValueId storage = graph_.storage_of(gradient_of(target));
    for (size_t id = 0; id < gradient_.size(); ++id)
      if (static_cast<ValueId>(id) != target && gradient_[id] != no_value && graph_.storage_of(gradient_[id]) == storage &&
          producer_[id] <= at_)
        return true;
    return false;
  }

  // The gradient of `target` becomes the sum of what it is and of `part`.
  void sum_gradients(ValueId target, ValueId part) {
    const Value& value = graph_.value(target);
    const Add add = {value.shape.elements(), {value.dtype, value.dtype, value.dtype, value.dtype}};
    const ValueId sum = new_gradient(fmt::format("{}.grad.with_{}", value.name, node_->name), target, Role::activation);
    graph_.add_into(add, node_->name, {gradient_of(target), part}, {sum}, node_->micro_batch);
    gradient_of(target) = sum;
  }

  // The gradient of `target` is `same` itself, perhaps in another shape.
  void share_gradient(ValueId target, ValueId same) {
    if (!needed(target)) return;
    if (gradient_of(target) != no_value) return sum_gradients(target, same);
    const Value& value = graph_.value(target);
    if (value.shape == graph_.value(same).shape) {
      gradient_of(target) = same;
    } else {
      gradient_of(target) = graph_.add_value({value.name + ".grad", Role::activation, value.dtype, value.shape, same});
    }
  }

  // The gradient of a filter or matrix is the parameter's, whatever the type of its working copy.
  Types of_filter(Types types) const {
    types.w = graph_.value(parameter_of(in(1))).dtype;
    return types;
  }

  void differentiate(const Conv2dForward& op) {
    if (dy() == no_value) return;
    write_gradient(parameter_of(in(1)), Conv2dBackwardFilter{op.shape, {}, of_filter(op.types)}, {in(0), dy()});
    write_gradient(in(0), Conv2dBackwardData{op.shape, {}, op.types}, {dy(), in(1)});
  }
  void differentiate(const LinearForward& op) {
    if (dy() == no_value) return;
    write_gradient(parameter_of(in(1)), LinearBackwardFilter{op.shape, {}, of_filter(op.types)}, {in(0), dy()});
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
    if (dy() == no_value) return;
    const ValueId saved = gradient_reads_input(op.activation) ? in(0) : out(0);
    write_gradient(in(0), ActivationBackward{op.activation, op.elements, {}, op.types, op.slope}, {saved, dy()});
  }
  // The last node, of a norm, moves up to the norm before it that has the same gradient behind it (the ends of two branches that are summed
  // up), where nothing between them stands in its way: side by side they can be one pass over that gradient.
  void bring_together() {
    std::vector<Node>& nodes = graph_.nodes;
    const Node& last = nodes.back();
    for (size_t i = nodes.size() - 1; i-- > at_ + 1;) {
      const Node& node = nodes[i];
      if (std::holds_alternative<BatchNormBackward>(node.op) && share(last.in[1], node.in[1]) && !share(last.in[0], node.in[0])) {
        const auto behind = nodes.begin() + static_cast<std::ptrdiff_t>(i) + 1;
        std::rotate(behind, nodes.end() - 1, nodes.end());
        return;
      }
      if (share_any(node.out, last.in) || share_any(node.out, last.out) || share_any(node.in, last.out)) return;
    }
  }
  bool share(ValueId one, ValueId other) const { return graph_.storage_of(one) == graph_.storage_of(other); }
  bool share_any(const std::vector<ValueId>& some, const std::vector<ValueId>& others) const {
    return std::any_of(some.begin(), some.end(), [&](ValueId id) {
      return std::any_of(others.begin(), others.end(), [&](ValueId other) { return share(id, other); });
    });
  }

  void differentiate(const BatchNormForward& op) {
    if (dy() == no_value) return;
    const bool apart = is_still_read(in(0));
    const ValueId g = dy();
    const Slot dx = apart ? Slot{new_gradient(part_name(in(0)), in(0), Role::activation), Into::overwrite} : slot_of(in(0));
    const Slot dscale = slot_of(in(1)), dshift = slot_of(in(2));
    graph_.add_into(BatchNormBackward{op.rows, op.c, op.epsilon, dx.into, dscale.into, dshift.into, op.types}, node_->name,
                    {in(0), g, in(1), out(1), out(2)}, {dx.gradient, dscale.gradient, dshift.gradient}, node_->micro_batch);
    bring_together();
    if (apart) sum_gradients(in(0), dx.gradient);
  }
  void differentiate(const Add&) {
    if (dy() == no_value) return;
    share_gradient(in(0), dy());
    share_gradient(in(1), dy());
  }
  void differentiate(const ConcatForward& op) {
    if (dy() == no_value) return;
    for (size_t i = 0; i < node_->in.size(); ++i) write_gradient(in(i), ConcatBackward{op, static_cast<int>(i), {}}, {dy()});
  }
  void differentiate(const ShortcutForward& op) {
    if (dy() != no_value) write_gradient(in(0), ShortcutBackward{op.shape, {}, op.types}, {dy()});
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
    if (!needed(in(0))) return;
    std::vector<ValueId> inputs = {in(0), in(1)};
    if (const ValueId scale = graph_.find(loss_scale_name); scale != no_value) {
      op.scaling = Scaling::dynamic;
      inputs.push_back(scale);
    }
    gradient_of(in(0)) = graph_.add(op, node_->name, std::move(inputs), node_->micro_batch);
  }

  // Data, metrics and what is a gradient or an update itself pass no gradient on.
  template <class NoGradient>
  requires is_any_of<NoGradient, Augment, Reorder, Convert, Score, GradientNorm, Update, Conv2dBackwardData, Conv2dBackwardFilter,
                     BiasBackward, LinearBackwardData, LinearBackwardFilter, MaxPoolBackward, AvgPoolBackward, BatchNormInference,
                     BatchNormBackward, ActivationBackward, ConcatBackward, ShortcutBackward, DropoutBackward, SoftmaxCrossEntropyBackward,
                     BinaryCrossEntropyBackward>
  void differentiate(const NoGradient&) {}

  Graph& graph_;
  int64_t divisor_;
  const Node* node_ = nullptr;
  size_t at_ = 0;                  // its place
  std::vector<ValueId> gradient_;  // by value of the forward graph
  std::vector<size_t> producer_;   // node that writes it, likewise
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
