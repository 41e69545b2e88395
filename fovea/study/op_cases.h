// The one table of operator cases: it drives correctness, gradients, speed and the support matrix.
#pragma once

#include <string>
#include <vector>

#include "fovea/graph/precision.h"

namespace fovea::study {

// Whether small whole numbers as input leave no room for rounding, so that every backend must give the same bits.
enum class Exactness : uint8_t { no, yes };
enum class Labels : uint8_t { all_counted, some_ignored };

struct OpCase {
  std::string name;  // unique: "conv2d_forward 2x7x5x3 k4 3x3 stride 2x1 pad 1,0,2,0"
  Op op;             // in f32
  Exactness exactness = Exactness::no;
  Labels labels = Labels::all_counted;                                                    // for operators with labels
  StepControl control;                                                                    // for operators that read it
  Metrics metrics;                                                                        // what stands in it at first
  LossScale loss_scale = {.scale = 0.5f, .good_steps = 5, .left_out = 0, .overflow = 0};  // likewise
};

std::vector<OpCase> op_cases();

// Convolutions, pools and linear layers of random sizes, each forward and backward (3 or 5 cases).
std::vector<OpCase> random_cases(uint64_t seed, int shapes);

// The same in another precision: where that has working copies, an update writes those of every other parameter.
OpCase in_precision(OpCase op_case, const graph::Precision& precision);

Op with_types(Op op, const Types& types);  // a reorder takes types.x; graph::in_precision is what networks have
Op with_into(Op op, Into into);            // an operator without a choice stays as it is
bool adds_into_output(const Op& op);       // what stood in the outputs before matters: Into::add, Score, Update

}  // namespace fovea::study
