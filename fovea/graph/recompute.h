// Activations that are computed again in the backward pass instead of being kept for it.
#pragma once

#include "fovea/graph/graph.h"

namespace fovea::graph {

inline constexpr std::string_view again_suffix = ".again";  // of the values that are computed again, and of the nodes that do
std::string_view layer_of(const Node& node);                // its name, without that

// The forward nodes of one micro-batch, and their gradients behind them, up to the end of the graph.
struct Passes {
  size_t forward = 0, backward = 0;  // their first nodes
};

// Chen et al.: "Training deep nets with sublinear memory cost", 2016. What batch norms, activations, sums, biases, concatenations and
// shortcuts give is not kept for gradient nodes: shortly before the first that reads it, it is computed once more, as "<value>.again", out
// of what gradient nodes read anyway (outputs of convolutions, poolings, dropout, and statistics of batches). What would take more than
// that to be kept, or would be needed again before anything larger has come and gone, is left as it is. A batch norm is repeated with the
// statistics of the batch: running ones follow it once.
void compute_again(Graph& graph, const Passes& passes);

}  // namespace fovea::graph
