#include "fovea/plan/across.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "fovea/base/error.h"
#include "fovea/graph/op_text.h"
#include "fovea/graph/work.h"
#include "fovea/plan/scratch.h"

namespace fovea::plan {
namespace {

using graph::Graph;
using graph::Node;
using graph::Role;
using graph::ValueId;

constexpr const char* in_parts = "in parts";
constexpr double never = std::numeric_limits<double>::infinity();

// "cuda", "cuda conv2d+bias": what the backends of a chain inherit has one name.
std::string label_of(const Offer& offer) {
  const std::string provider(offer.claim.kernel->provider());
  return offer.is_claim() ? fmt::format("{} {}", provider, offer.claim.name) : provider;
}

// Nodes that are one step, by the fastest who offers that.
struct Segment {
  Offer offer;
  double microseconds = 0;  // 0 where nobody else offers anything
  std::optional<Tuning::Choice> measured;

  size_t first() const { return offer.first; }
  size_t end() const { return offer.first + offer.claim.nodes; }
};

struct Path {
  double microseconds = never;
  std::vector<Segment*> segments;
};
using Banned = std::set<const Segment*>;

class Across {
 public:
  explicit Across(const Offering& offering) : offering_(offering), graph_(offering.graph), from_(graph_.nodes.size()) {
    if (offering.assignment.limits.tuning == nullptr)
      throw Error(ExitCode::internal, "backends are compared without a place for the times");
  }

  std::vector<Step> steps() {
    gather();
    decide();
    std::vector<Step> steps;
    for (Segment* segment : whole_path().segments) {
      steps.push_back(step_of(std::move(segment->offer), graph_));
      steps.back().measured = std::move(segment->measured);
    }
    return steps;
  }

 private:
  using Offers = std::vector<Offer>;

  void add(Offer offer) {
    Offers& offers = offers_[{offer.claim.nodes, offer.first}];
    const std::string label = label_of(offer);
    if (std::none_of(offers.begin(), offers.end(), [&](const Offer& other) { return label_of(other) == label; }))
      offers.push_back(std::move(offer));
  }

  // All that is offered. Offered fewer nodes, a backend may claim those.
  void gather() {
    const Assignment& assignment = offering_.assignment;
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (!offering_.is_step(i)) continue;
      std::vector<Backend*> backends = {&assignment.of(graph_.nodes[i])};
      if (backends[0] == assignment.backend) backends.insert(backends.end(), assignment.rivals.begin(), assignment.rivals.end());
      for (Backend* backend : backends) {
        add(offering_.of_node(*backend, i));
        std::span<const Node> nodes = offering_.neighbours(i);
        while (assignment.claims == Claims::on && !nodes.empty()) {
          std::optional<Offer> claim = offering_.of_claim(*backend, nodes);
          if (!claim) break;
          nodes = nodes.first(claim->claim.nodes - 1);
          add(std::move(*claim));
        }
      }
    }
  }

  // The best of those that are offered for the same nodes, from single nodes to the longest runs.
  void decide() {
    std::set<size_t> in_claims;
    for (const auto& [key, offers] : offers_)
      for (size_t i = 0; key.first > 1 && i < key.first; ++i) in_claims.insert(key.second + i);
    for (auto& [key, offers] : offers_) {
      const auto [nodes, first] = key;
      if (nodes == 1 && offers.size() == 1 && !in_claims.contains(first))
        from_[first].push_back({std::move(offers[0]), 0, std::nullopt});
      else
        from_[first].push_back(best_of(std::move(offers), nodes == 1 ? never : shortest(first, first + nodes, {}).microseconds));
    }
  }

  // `parts`: what the steps take that a claim stands for.
  Segment best_of(Offers offers, double parts) {
    const Tuning::Choice choice = choice_of(offers, parts);
    const bool is_slower = choice.taken == in_parts;
    const std::string& label = is_slower ? choice.rejected : choice.taken;
    for (Offer& offer : offers)
      if (label_of(offer) == label) {
        Tuning::Choice shown = choice;
        if (is_slower) shown = {choice.rejected, choice.rejected_microseconds, choice.taken, choice.microseconds};
        return {std::move(offer), shown.microseconds, shown};
      }
    throw Error(ErrorId::bad_tuning, fmt::format("the choices of an earlier run say `{}`, which nobody offers here", label))
        .help("leave out --tuning: the choices are then made by measuring");
  }

  Tuning::Choice choice_of(const Offers& offers, double parts) {
    const std::string problem = problem_of(offers);
    if (const Tuning::Choice* known = offering_.assignment.limits.tuning->find(problem)) return *known;
    std::vector<std::pair<double, std::string>> times;
    const std::vector<double> seconds = measured(offers);
    for (size_t i = 0; i < offers.size(); ++i) times.emplace_back(std::round(1e9 * seconds[i]) / 1e3, label_of(offers[i]));
    if (parts < never) times.emplace_back(parts, in_parts);
    std::stable_sort(times.begin(), times.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    Tuning::Choice choice{times[0].second, times[0].first, {}, 0};
    if (times.size() > 1) choice.rejected = times[1].second, choice.rejected_microseconds = times[1].first;
    offering_.assignment.limits.tuning->keep(problem, choice);
    return choice;
  }

  std::vector<double> measured(const Offers& offers) const {
    Scratch scratch(*offers[0].backend, graph_, offering_.assignment.dependent_launches);
    std::vector<KernelPtr> kernels;
    for (const Offer& offer : offers) {
      kernels.push_back(offer.again());
      scratch.bind(*kernels.back(), offer.claim.in, offer.claim.out);
    }
    return scratch.seconds(kernels);
  }

  std::string problem_of(const Offers& offers) const {
    std::vector<std::string> labels, ops;
    for (const Offer& offer : offers) labels.push_back(label_of(offer));
    std::sort(labels.begin(), labels.end());
    const size_t first = offers[0].first, nodes = offers[0].claim.nodes;
    for (size_t i = first; i < first + nodes; ++i) ops.push_back(graph::text_of(graph_.nodes[i].op));
    return fmt::format("across {}: {}, {} read behind", fmt::join(labels, ", "), fmt::join(ops, " + "), read_behind(first, first + nodes));
  }

  // How many values of these nodes others read.
  int read_behind(size_t first, size_t end) const {
    std::map<ValueId, int> uses;
    for (size_t i = first; i < end; ++i)
      for (const ValueId id : graph_.nodes[i].in)
        if (offering_.is_step(i)) ++uses[graph_.storage_of(id)];
    int count = 0;
    for (size_t i = first; i < end; ++i)
      for (const ValueId id : graph_.nodes[i].out)
        if (graph_.value(id).view_of == graph::no_value && offering_.uses[static_cast<size_t>(id)] > uses[id]) ++count;
    return count;
  }

  Path shortest(size_t first, size_t end, const Banned& banned) {
    std::vector<double> rest(end - first + 1, never);  // from a node on
    std::vector<Segment*> taken(end - first, nullptr);
    rest[end - first] = 0;
    for (size_t i = end; i-- > first;) {
      if (!offering_.is_step(i)) rest[i - first] = rest[i + 1 - first];
      for (Segment& segment : from_[i]) {
        if (segment.end() > end || banned.contains(&segment)) continue;
        const double microseconds = segment.microseconds + rest[segment.end() - first];
        if (microseconds > rest[i - first] || microseconds == never) continue;  // of equal ones the longest, which is the last
        rest[i - first] = microseconds;
        taken[i - first] = &segment;
      }
    }
    Path path{rest[0], {}};
    for (size_t i = first; i < end && rest[0] < never; i = taken[i - first] == nullptr ? i + 1 : taken[i - first]->end())
      if (taken[i - first] != nullptr) path.segments.push_back(taken[i - first]);
    return path;
  }

  // Some claims leave out a value because the claims behind them do not read it. Where a step that was chosen does, either they or those
  // that read it are given up, whichever costs less.
  Path whole_path() {
    Banned banned;
    for (;;) {
      Path path = shortest(0, graph_.nodes.size(), banned);
      const ValueId missing = missing_value(path);
      if (missing == graph::no_value) return path;
      Banned without_writer = banned, without_readers = banned;
      for (const Segment* segment : path.segments)
        if (leaves_out(*segment, missing)) without_writer.insert(segment);
      for (const std::vector<Segment>& segments : from_)
        for (const Segment& segment : segments)
          if (!leaves_out(segment, missing) && has(segment.offer.claim.in, missing)) without_readers.insert(&segment);
      const auto cost = [&](const Banned& more) {
        return more.size() > banned.size() ? shortest(0, graph_.nodes.size(), more).microseconds : never;
      };
      const double a = cost(without_writer), b = cost(without_readers);
      if (a == never && b == never) throw Error(ExitCode::internal, fmt::format("no steps give `{}`", graph_.value(missing).name));
      banned = a <= b ? without_writer : without_readers;
    }
  }

  bool has(const std::vector<ValueId>& ids, ValueId storage) const {
    return std::any_of(ids.begin(), ids.end(), [&](ValueId id) { return graph_.storage_of(id) == storage; });
  }
  bool leaves_out(const Segment& segment, ValueId storage) const {
    for (size_t i = segment.first(); i < segment.end(); ++i)
      if (offering_.is_step(i) && has(graph_.nodes[i].out, storage)) return !has(segment.offer.claim.out, storage);
    return false;
  }

  // An activation that a step reads and none before it has written.
  ValueId missing_value(const Path& path) const {
    std::set<ValueId> written;
    for (const Segment* segment : path.segments) {
      for (const ValueId id : segment->offer.claim.in)
        if (const ValueId storage = graph_.storage_of(id); graph_.value(storage).role == Role::activation && !written.contains(storage))
          return storage;
      for (const ValueId id : segment->offer.claim.out) written.insert(graph_.storage_of(id));
    }
    return graph::no_value;
  }

  const Offering& offering_;
  const Graph& graph_;
  std::map<std::pair<size_t, size_t>, Offers> offers_;  // by the number of nodes and the first of them
  std::vector<std::vector<Segment>> from_;              // by the first node; longer ones behind
};

}  // namespace

std::vector<Step> steps_across(const Offering& offering) { return Across(offering).steps(); }

}  // namespace fovea::plan
