#include "fovea/plan/steps.h"

#include <fmt/format.h>

#include "fovea/base/error.h"
#include "fovea/plan/across.h"

namespace fovea::plan {

using graph::Graph;
using graph::Node;
using graph::ValueId;

namespace {

std::vector<int> count_uses(const Graph& graph) {
  std::vector<int> uses(graph.values.size());
  for (const Node& node : graph.nodes)
    if (!std::holds_alternative<Flatten>(node.op))
      for (const ValueId id : node.in) ++uses[static_cast<size_t>(graph.storage_of(id))];
  for (size_t id = 0; id < uses.size(); ++id) uses[id] = uses[static_cast<size_t>(graph.storage_of(static_cast<ValueId>(id)))];
  return uses;
}

// The argmax of a pooling is left out where nobody reads it: in evaluation.
std::vector<ValueId> outputs_read(const Node& node, std::span<const int> uses) {
  std::vector<ValueId> out = node.out;
  if (std::holds_alternative<MaxPoolForward>(node.op) && uses[static_cast<size_t>(out.back())] == 0) out.pop_back();
  return out;
}

std::vector<Step> as_assigned(const Offering& offering) {
  std::vector<Step> steps;
  for (size_t i = 0; i < offering.graph.nodes.size();) {
    if (!offering.is_step(i)) {
      ++i;
      continue;
    }
    Backend& backend = offering.assignment.of(offering.graph.nodes[i]);
    std::optional<Offer> claim;
    if (offering.assignment.claims == Claims::on) claim = offering.of_claim(backend, offering.neighbours(i));
    steps.push_back(step_of(claim ? std::move(*claim) : offering.of_node(backend, i), offering.graph));
    i += steps.back().nodes;
  }
  return steps;
}

// Claims may leave a value out where the claims of those who read it do not.
void require_written(const Graph& graph, const std::vector<Step>& steps) {
  std::vector<char> written(graph.values.size(), 0);
  for (const Step& step : steps) {
    for (const ValueId id : step.in)
      if (const ValueId storage = graph.storage_of(id);
          graph.value(storage).role == graph::Role::activation && written[static_cast<size_t>(storage)] == 0)
        throw Error(ExitCode::internal,
                    fmt::format("`{}` ({}) reads `{}`, which no step before it gives", step.name, step.what, graph.value(storage).name));
    for (const ValueId id : step.out) written[static_cast<size_t>(graph.storage_of(id))] = 1;
  }
}

}  // namespace

Offering::Offering(const Graph& in_graph, const Assignment& by_assignment)
    : graph(in_graph), assignment(by_assignment), uses(count_uses(in_graph)) {}

std::span<const Node> Offering::neighbours(size_t first) const {
  size_t end = first + 1;
  while (end < graph.nodes.size() && graph.nodes[end].micro_batch == graph.nodes[first].micro_batch &&
         &assignment.of(graph.nodes[end]) == &assignment.of(graph.nodes[first]))
    ++end;
  return std::span(graph.nodes).subspan(first, end - first);
}

Offer Offering::of_node(Backend& backend, size_t first) const {
  const Node& node = graph.nodes[first];
  auto again = [&backend, &op = node.op, limits = assignment.limits] { return make(backend, op, limits); };
  KernelPtr kernel = again();
  return {&backend, first, {1, {}, std::move(kernel), node.in, outputs_read(node, uses)}, std::move(again)};
}

std::optional<Offer> Offering::of_claim(Backend& backend, std::span<const Node> nodes) const {
  const auto offered = [this, &backend, nodes] { return backend.claim({graph, nodes, uses}, assignment.limits); };
  std::optional<Claim> claim = offered();
  if (!claim) return std::nullopt;
  if (claim->nodes == 0 || claim->nodes > nodes.size())
    throw Error(ExitCode::internal, fmt::format("backend `{}` claims {} of the {} nodes from `{}` on as `{}`", backend.name(), claim->nodes,
                                                nodes.size(), nodes[0].name, claim->name));
  return Offer{&backend, static_cast<size_t>(nodes.data() - graph.nodes.data()), std::move(*claim),
               [offered] { return std::move(offered()->kernel); }};
}

Step step_of(Offer offer, const Graph& graph) {
  const Node& node = graph.nodes[offer.first];
  int64_t macs = 0;
  for (size_t i = 0; i < offer.claim.nodes; ++i) macs += macs_of(graph.nodes[offer.first + i].op);
  return {node.name,
          offer.is_claim() ? std::move(offer.claim.name) : std::string(name_of(node.op)),
          std::string(offer.backend->name()),
          node.micro_batch,
          macs,
          std::move(offer.claim.in),
          std::move(offer.claim.out),
          std::move(offer.claim.kernel),
          offer.first,
          offer.claim.nodes};
}

std::vector<Step> make_steps(const Graph& graph, const Assignment& assignment) {
  const Offering offering(graph, assignment);
  std::vector<Step> steps = assignment.rivals.empty() ? as_assigned(offering) : steps_across(offering);
  require_written(graph, steps);
  return steps;
}

}  // namespace fovea::plan
