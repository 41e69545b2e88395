// A trained network on images: how well it does on them, and what it says about each.
#pragma once

#include <string>
#include <vector>

#include "fovea/data/dataset.h"
#include "fovea/train/saved_model.h"
#include "fovea/train/session.h"

namespace fovea::train {

struct RunOn {
  std::string backend;  // empty: the fastest that this machine has
  int threads = 0;      // 0: one for each core that the process may use
  int64_t batch = 256;  // images per step
};

struct Tested {
  Scores scores;
  std::string backend;  // that it ran on
  double seconds = 0;   // of the steps alone
};

// Both throw Error (config) where the images do not fit the network, Error (device) where the backend is absent.
Tested test(const SavedModel& model, const data::Images& images, const RunOn& where);

// (count, classes): of each class, or of no and yes. The labels of the images are not read.
std::vector<float> probabilities(const SavedModel& model, const data::Images& images, const RunOn& where);

}  // namespace fovea::train
