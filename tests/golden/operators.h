// The single operators of operators.json as PyTorch computes them; README.md beside it says what a case holds.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "fovea/graph/op.h"
#include "tests/backend/case_runner.h"

namespace fovea::golden {

// One run of one operator.
struct Check {
  std::string name;  // "depthwise: conv2d_backward_filter"
  std::string golden_case;
  std::string family;  // conv2d, avg_pool, max_pool, batch_norm, activation, weighted_loss, update
  Op op;               // in double
  test::CaseData data;
  std::vector<std::vector<double>> expected;  // of each output
};

std::vector<Check> read_checks();
std::vector<Check> checks_of(std::string_view golden_case);  // throws where there is no such case

// What a weighted loss comes to by fovea's rule, and by PyTorch's.
struct WeightedMean {
  std::string golden_case;
  std::vector<double> losses;  // of each image
  double by_batch = 0, by_weights = 0;
};
std::vector<WeightedMean> read_weighted_means();

Check in_float(Check check);

}  // namespace fovea::golden
