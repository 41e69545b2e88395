// The operators of a training step of a network as cases: real layers to measure.
#pragma once

#include <string>
#include <vector>

#include "fovea/model/network.h"
#include "fovea/study/op_cases.h"

namespace fovea::study {

struct NetworkCase {
  OpCase op_case;      // "resnet18-b32/layer1.0.conv1/conv2d_forward"
  int64_t layers = 1;  // that have the same; the first one's name is taken
};

// Each different operator once, in the order of the step. What a backend would take as one step is not put together.
std::vector<NetworkCase> network_cases(const model::Network& network, int64_t batch);

int64_t usual_batch(const std::string& network);  // with which it is measured if nobody says otherwise

}  // namespace fovea::study
