#include "fovea/plan/compile.h"

#include <fmt/format.h>

#include <algorithm>

#include "fovea/base/error.h"
#include "fovea/graph/recompute.h"
#include "fovea/plan/layouts.h"
#include "fovea/plan/steps.h"

namespace fovea::plan {
namespace {

using graph::Graph;
using graph::Node;
using graph::Role;
using graph::ValueId;

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
    // The next run begins with the first step while the last one of this run is still under way.
    if (repeats(graph_, steps) && steps.front().kernel->can_run_early())
      for (const ValueId id : steps.front().out) lifetimes_[static_cast<size_t>(graph_.storage_of(id))].last = std::ssize(steps) - 1;
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
  const auto found = of_layer.find(std::string(graph::layer_of(node)));
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
