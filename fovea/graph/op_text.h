// An operator in words: all of it that the time of a kernel depends on.
#pragma once

#include <string>

#include "fovea/graph/op.h"

namespace fovea::graph {

// "conv2d_forward bf16 n256 h56 w56 c64 k64 3x3 s1 p1". Operators with the same text are the same work on other values.
std::string text_of(const Op& op);

}  // namespace fovea::graph
