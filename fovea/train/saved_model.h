// A trained network in one safetensors file: weights, and in its metadata the network's text and the preprocessing of its images.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "fovea/io/safetensors.h"
#include "fovea/model/network.h"
#include "fovea/train/step_graph.h"

namespace fovea::train {

struct SavedModel {
  model::Network network;
  Preprocessing preprocessing;
  std::vector<std::string> classes;   // by label
  std::vector<std::string> positive;  // of a yes-or-no network: the classes of the data set that count as yes
  std::vector<io::NamedTensor> weights;
};

void save_model(const std::filesystem::path& file, const SavedModel& model);  // replaces the file atomically

// `path`: the file, or the folder of a run that holds best.safetensors. Throws Error (data) where it is not such a file.
SavedModel load_model(const std::filesystem::path& path);

}  // namespace fovea::train
