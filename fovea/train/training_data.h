// The images of an experiment: read, relabelled, split, and what their pixels say about preprocessing.
#pragma once

#include <memory>

#include "fovea/data/dataset.h"
#include "fovea/model/network.h"
#include "fovea/train/recipe.h"
#include "fovea/train/step_graph.h"

namespace fovea::train {

enum class Validation : uint8_t { none, split, test };

struct TrainingData {
  data::Dataset dataset;
  Validation validation = Validation::none;
  data::Images valid;  // of Validation::split
  Preprocessing preprocessing;
  std::vector<float> class_weights;  // by label; empty: 1

  // What each epoch is validated on; nullptr if nothing is.
  const data::Images* validated() const;
  std::string validation_text() const;  // "6,000 images taken out of the training images"
};

// Fits the network to the data (model::fitted). Throws Error (data, config) where the data set cannot be read or does not fit.
TrainingData load_training_data(const Recipe& recipe, model::Network& network);
TrainingData prepare(const Recipe& recipe, data::Dataset dataset, model::Network& network);  // the same with data that are there already

// What several trainers may share: those of recipes that agree in model, data, seed, validation, classes and preprocessing.
using SharedData = std::shared_ptr<const TrainingData>;
SharedData share_training_data(const Recipe& recipe);
SharedData share_training_data(const Recipe& recipe, data::Dataset dataset);
void fit_network(model::Network& network, const data::Dataset& dataset);  // throws Error (config)

}  // namespace fovea::train
