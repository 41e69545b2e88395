// Which kernel takes which nodes: the offers of backends, and the steps that come of those that are taken.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "fovea/plan/compile.h"

namespace fovea::plan {

// A backend's kernel for the nodes from `first` on: of one node as it is, or a claim of it and its neighbours.
struct Offer {
  Backend* backend = nullptr;
  size_t first = 0;
  Claim claim;                       // of one node without a name where it is none
  std::function<KernelPtr()> again;  // another kernel like this one

  bool is_claim() const { return !claim.name.empty(); }
};

// What offers come from.
struct Offering {
  const graph::Graph& graph;
  const Assignment& assignment;
  std::vector<int> uses;  // by ValueId: how many nodes read each value or a view of it

  Offering(const graph::Graph& graph, const Assignment& assignment);
  bool is_step(size_t node) const { return !std::holds_alternative<Flatten>(graph.nodes[node].op); }
  // The nodes from `first` on that could be one step: same backend, same micro-batch.
  std::span<const graph::Node> neighbours(size_t first) const;
  Offer of_node(Backend& backend, size_t first) const;
  std::optional<Offer> of_claim(Backend& backend, std::span<const graph::Node> nodes) const;  // of the first of these nodes on
};

Step step_of(Offer offer, const graph::Graph& graph);

// Node by node, what the backend of each claims, else what it makes; where others work in its memory, the fastest (across.h).
std::vector<Step> make_steps(const graph::Graph& graph, const Assignment& assignment);

}  // namespace fovea::plan
