// How the claims look at the nodes before them.
#pragma once

#include "fovea/backend/backend.h"

namespace fovea::cuda {

using graph::Node;
using graph::ValueId;

// Node i, if it is an Op; all the nodes of a network have the types of one precision.
template <class Op>
const Op* at(const Neighbours& around, size_t i) {
  return i < around.nodes.size() ? std::get_if<Op>(&around.nodes[i].op) : nullptr;
}

inline bool is_read_once(const Neighbours& around, ValueId id) { return around.uses[static_cast<size_t>(id)] == 1; }

}  // namespace fovea::cuda
