// Layout wishes: kept where producer and consumer agree, answered by a visible reorder step where they do not.
#pragma once

#include <vector>

#include "fovea/plan/compile.h"

namespace fovea::plan {

// Inserts reorder steps and returns the layout of each value.
std::vector<Layout> settle_layouts(graph::Graph& graph, std::vector<Step>& steps, const Assignment& assignment);

}  // namespace fovea::plan
