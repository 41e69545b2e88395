// What makes a run the same run.
#pragma once

#include <map>
#include <string>

#include "fovea/train/training_data.h"

namespace fovea::train {

// By what it is called: the settings that decide the result, the text of the network, and what tells one set of images from another.
using RunIdentity = std::map<std::string, std::string>;

RunIdentity run_identity(const Recipe& recipe, const model::Network& network, const TrainingData& data);

// Throws Error (data) that names the first thing in which the two differ. `file`: of the checkpoint.
void check_same_run(const RunIdentity& saved, const RunIdentity& run, const std::string& file);

}  // namespace fovea::train
