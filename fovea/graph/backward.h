// The gradients of a forward graph.
#pragma once

#include <vector>

#include "fovea/graph/graph.h"

namespace fovea::graph {

// Appends, in reverse order, the gradient nodes of the nodes [first, graph.nodes.size()) of one micro-batch, the last of which is a loss.
// `divisor` is the number of images of the whole step. A parameter's gradient is the value "<name>.grad": made, and overwritten, by the
// first node that reaches it, and added to by every later one (other consumers, later micro-batches). An activation consumed more than once
// likewise. No gradient is computed for values that no parameter stands behind.
void add_backward(Graph& graph, size_t first, int64_t divisor);

// The parameters in the order in which add_backward completes their gradients: the order of the arenas.
std::vector<ValueId> completion_order(const Graph& graph);

}  // namespace fovea::graph
