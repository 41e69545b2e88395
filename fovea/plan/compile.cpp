#include "fovea/plan/compile.h"

#include <fmt/format.h>

#include <algorithm>

#include "fovea/base/error.h"
#include "fovea/plan/layouts.h"

namespace fovea::plan {
namespace {

using graph::Graph;
using graph::Node;
using graph::Role;
using graph::ValueId;

// How many nodes read each value or a view of it.
std::vector<int> count_uses(const Graph& graph) {
  std::vector<int> uses(graph.values.size());
  for (const Node& node : graph.nodes)
    if (!std::holds_alternative<Flatten>(node.op))
      for (const ValueId id : node.in) ++uses[static_cast<size_t>(graph.storage_of(id))];
  for (size_t id = 0; id < uses.size(); ++id) uses[id] = uses[static_cast<size_t>(graph.storage_of(static_cast<ValueId>(id)))];
  return uses;
}

// The nodes from `first` on that could be one step: same backend, same micro-batch.
std::span<const Node> neighbours(const Graph& graph, size_t first, const Assignment& assignment) {
  size_t end = first + 1;
  while (end < graph.nodes.size() && graph.nodes[end].micro_batch == graph.nodes[first].micro_batch &&
         &assignment.of(graph.nodes[end]) == &assignment.of(graph.nodes[first]))
    ++end;
  return std::span(graph.nodes).subspan(first, end - first);
}

int64_t macs_of(std::span<const Node> nodes) {
  int64_t macs = 0;
  for (const Node& node : nodes) macs += fovea::macs_of(node.op);
  return macs;
}

// The argmax of a pooling is left out where nobody reads it: in evaluation.
void drop_unread_argmax(const Node& node, std::span<const int> uses, std::vector<ValueId>& out) {
  if (std::holds_alternative<MaxPoolForward>(node.op) && uses[static_cast<size_t>(out.back())] == 0) out.pop_back();
}

std::vector<Step> make_steps(const Graph& graph, const Assignment& assignment) {
  const std::vector<int> uses = count_uses(graph);
  std::vector<Step> steps;
  for (size_t i = 0; i < graph.nodes.size();) {
    const Node& node = graph.nodes[i];
    Backend& backend = assignment.of(node);
    if (std::holds_alternative<Flatten>(node.op)) {
      ++i;
      continue;
    }
    if (assignment.claims == Claims::on) {
      const std::span<const Node> run = neighbours(graph, i, assignment);
      if (std::optional<Claim> claim = backend.claim({graph, run, uses}, assignment.limits)) {
        if (claim->nodes == 0 || claim->nodes > run.size())
          throw Error(ExitCode::internal, fmt::format("backend `{}` claims {} of the {} nodes from `{}` on as `{}`", backend.name(),
                                                      claim->nodes, run.size(), node.name, claim->name));
        steps.push_back({node.name, std::move(claim->name), std::string(backend.name()), node.micro_batch, macs_of(run.first(claim->nodes)),
                         std::move(claim->in), std::move(claim->out), std::move(claim->kernel), i, claim->nodes});
        i += claim->nodes;
        continue;
      }
    }
    Step step{node.name,
              std::string(name_of(node.op)),
              std::string(backend.name()),
              node.micro_batch,
              fovea::macs_of(node.op),
              node.in,
              node.out,
              make(backend, node.op, assignment.limits),
              i,
              1};
    drop_unread_argmax(node, uses, step.out);
    steps.push_back(std::move(step));
    ++i;
  }
  return steps;
}

class Placer {
 public:
  Placer(const Graph& graph, const std::vector<Layout>& layouts) : graph_(graph), layouts_(layouts), places_(graph.values.size()) {}

  void place_parameters(const std::vector<std::string>& order) {
    for (const std::string& name : order) {
      const ValueId parameter = graph_.find(name);
      if (parameter == graph::no_value) throw Error(ExitCode::internal, fmt::format("the graph has no parameter `{}`", name));
      append(parameter, graph_.value(parameter).role == Role::average ? Arena::averages : Arena::parameters);
      const ValueId working = graph_.find(name + std::string(graph::working_suffix));
      if (working != graph::no_value && graph_.value(working).role == Role::working) append(working, Arena::working);
      const ValueId average = graph_.find(name + ".average");
      if (average != graph::no_value) append(average, Arena::averages);
      const ValueId gradient = graph_.find(name + ".grad");
      if (gradient != graph::no_value) append(gradient, Arena::gradients);
    }
  }

  void place_by_role() {
    for (size_t id = 0; id < places_.size(); ++id)  // in front: evaluation has them too, but no other state
      if (graph_.values[id].role == Role::running) append(static_cast<ValueId>(id), Arena::state);
    for (size_t id = 0; id < places_.size(); ++id) {
      const Role role = graph_.values[id].role;
      if (role == Role::state) append(static_cast<ValueId>(id), Arena::state);
      if (role == Role::control || role == Role::metrics) append(static_cast<ValueId>(id), Arena::control);
      if (role == Role::pixels || role == Role::labels)
        places_[id] = {Placement::Where::data_set, {}, 0, bytes_of(static_cast<ValueId>(id))};
      if ((role == Role::parameter || role == Role::average || role == Role::working) && places_[id].where == Placement::Where::nowhere)
        throw Error(ExitCode::internal, fmt::format("parameter `{}` is not in the order of the parameters", graph_.values[id].name));
    }
  }

  // Activations, and the workspace that a step needs while it runs.
  void place_activations(std::vector<Step>& steps) {
    const std::vector<ValueId> alive = note_lifetimes(steps);
    std::vector<Lifetime> packed;
    for (const ValueId id : alive) packed.push_back(lifetimes_[static_cast<size_t>(id)]);
    for (size_t at = 0; at < steps.size(); ++at)
      packed.push_back({steps[at].kernel->workspace_bytes(), static_cast<int64_t>(at), static_cast<int64_t>(at)});
    bytes_[static_cast<size_t>(Arena::activations)] = pack(packed);
    for (size_t i = 0; i < alive.size(); ++i)
      places_[static_cast<size_t>(alive[i])] = {Placement::Where::arena, Arena::activations, packed[i].offset, packed[i].bytes};
    for (size_t at = 0; at < steps.size(); ++at) steps[at].workspace_offset = packed[alive.size() + at].offset;
  }

  std::vector<Placement> take_places() { return std::move(places_); }
  const ArenaBytes& bytes() const { return bytes_; }

 private:
  // The activations in the order in which they come to life.
  std::vector<ValueId> note_lifetimes(const std::vector<Step>& steps) {
    lifetimes_.resize(places_.size());
    std::vector<ValueId> alive;
    for (size_t at = 0; at < steps.size(); ++at)
      for (const std::vector<ValueId>* ids : {&steps[at].in, &steps[at].out})
        for (const ValueId id : *ids) {
          const ValueId storage = graph_.storage_of(id);
          if (graph_.value(storage).role != Role::activation) continue;
          Lifetime& lifetime = lifetimes_[static_cast<size_t>(storage)];
          if (lifetime.bytes == 0) {
            lifetime = {bytes_of(storage), static_cast<int64_t>(at), static_cast<int64_t>(at)};
            alive.push_back(storage);
          }
          lifetime.last = static_cast<int64_t>(at);
        }
    return alive;
  }

  size_t bytes_of(ValueId id) const {
    const graph::Value& value = graph_.value(id);
    return std::max(static_cast<size_t>(value.shape.elements()) * fovea::bytes_of(value.dtype), layouts_[static_cast<size_t>(id)].bytes);
  }

  void append(ValueId id, Arena arena) {
    size_t& end = bytes_[static_cast<size_t>(arena)];
    places_[static_cast<size_t>(id)] = {Placement::Where::arena, arena, end, bytes_of(id)};
    end += aligned(bytes_of(id));
  }

  const Graph& graph_;
  const std::vector<Layout>& layouts_;
  std::vector<Placement> places_;
  std::vector<Lifetime> lifetimes_;  // by value
  ArenaBytes bytes_{};
};

}  // namespace

Backend& Assignment::of(const Node& node) const {
  const auto found = of_layer.find(node.name);
  return found != of_layer.end() ? *found->second : *backend;
}

Plan compile(Graph graph, const Assignment& assignment, const std::vector<std::string>& parameters) {
  std::vector<Step> steps = make_steps(graph, assignment);
  const std::vector<Layout> layouts = settle_layouts(graph, steps, assignment);
  Placer placer(graph, layouts);
  placer.place_parameters(parameters);
  placer.place_by_role();
  placer.place_activations(steps);
  return Plan(std::move(graph), std::move(steps), placer.take_places(), placer.bytes());
}

}  // namespace fovea::plan
