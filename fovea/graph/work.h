// How much an operator has to do: with op.h's macs_of, what a speed is measured against.
#pragma once

#include "fovea/graph/op.h"

namespace fovea::graph {

bool adds_into(const Op& op, size_t output);  // what stood in this output before matters: Into::add, Score, Update

// What one run has to move at least: every input read once and every output written once, those that are added to also read.
int64_t bytes_of(const Op& op);

}  // namespace fovea::graph
