// How far two results of the same nodes may be apart: the case table's tolerance, element by element.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <vector>

#include "fovea/backend/backend.h"

namespace fovea::study {

using Contents = std::map<graph::ValueId, std::vector<std::byte>>;  // of values that own their memory

// Of one node, or of the several that a claim takes as one step. A tolerance that is relative to sum |x w| is taken from the reference,
// run on the absolute values of `before`; where nodes follow each other their tolerances add up, relative to the sums of the last.
class Bounds {
 public:
  // `before`: what the nodes read, as far as it is known.
  Bounds(const graph::Graph& graph, std::span<const graph::Node> nodes, const Contents& before);

  // By element of what one of the nodes wrote to `id`; all zero where every backend has to give the same bits.
  std::vector<double> of(graph::ValueId id, std::span<const float> result) const;
  double relative_of(graph::ValueId id) const { return bounds_.at(id).relative; }

 private:
  struct Bound {
    double relative = 0, floor = 0, least = 0;  // least: the smallest that values are measured by
    bool of_largest = false;                    // of all elements: where the sums are not known
    std::vector<float> sums;                    // by element; may be empty
  };

  void append(const graph::Node& node);
  std::optional<std::vector<float>> sums_of(graph::ValueId id) const;
  std::vector<std::vector<float>> summed(const graph::Node& node) const;
  std::vector<float> passed_on(const graph::Node& node, graph::ValueId out) const;

  const graph::Graph& graph_;
  const Contents& before_;
  bool single_;
  std::unique_ptr<Backend> reference_;
  double relative_ = 0;  // of all nodes so far
  std::map<graph::ValueId, Bound> bounds_;
};

}  // namespace fovea::study
