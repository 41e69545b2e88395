// From a graph to a plan: which kernel takes which nodes, in which layout, and where every value lies.
#pragma once

#include <map>
#include <string>

#include "fovea/plan/plan.h"

namespace fovea::plan {

enum class Claims : uint8_t { on, off };

// The backend of each node. All of them have to work in the same device's memory.
struct Assignment {
  Backend* backend = nullptr;
  std::map<std::string, Backend*> of_layer = {};  // by node name, instead of `backend`
  Limits limits = {};
  Claims claims = Claims::on;
  DependentLaunches dependent_launches = DependentLaunches::on;
  std::vector<Backend*> rivals = {};  // of `backend`: each step is that of the fastest of all, by times that limits.tuning holds or gets

  Backend& of(const graph::Node& node) const;
};

// `parameters` gives the order of the parameters in their arena, which plans that share memory have to agree on; see
// graph::completion_order.
Plan compile(graph::Graph graph, const Assignment& assignment, const std::vector<std::string>& parameters);

}  // namespace fovea::plan
