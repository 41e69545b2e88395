// The graphs of one training step and of one evaluation step.
#pragma once

#include <string>
#include <vector>

#include "fovea/graph/graph.h"
#include "fovea/graph/precision.h"
#include "fovea/model/network.h"
#include "fovea/train/recipe.h"

namespace fovea::train {

// How stored pixels become the network's input; part of a saved model.
struct Preprocessing {
  std::vector<float> mean, deviation;  // per channel, of pixels in [0, 1]
};

inline constexpr const char* data_node = "data";  // the name of the nodes that gather and augment images

struct StepSettings {
  int64_t images = 1;  // stored in the part of the data set that the step gathers from
  int64_t batch = 1;
  graph::Precision precision = {};
  std::vector<float> class_weights = {};   // of the training loss, by label; empty: 1
  std::vector<std::string> averaged = {};  // parameters in whose place evaluation takes their averages: see averaged_parameters
};

// Gather and augment, forward, loss, score, backward for each micro-batch, then one update. Parameters and their gradients are named as the
// network names them; the update's moments are "<parameter>.moment1" and ".moment2", its averages "<parameter>.average".
graph::Graph training_graph(const model::Network& network, const Recipe& recipe, const Preprocessing& preprocessing,
                            const StepSettings& settings);

// Gather in stored order, forward, loss, score. Images beyond StepControl::images are padding that the score ignores.
graph::Graph evaluation_graph(const model::Network& network, const Preprocessing& preprocessing, const StepSettings& settings);

// Gather in stored order and forward alone.
struct PredictionGraph {
  graph::Graph graph;
  graph::ValueId logits = graph::no_value;  // (batch, outputs)
};
PredictionGraph prediction_graph(const model::Network& network, const Preprocessing& preprocessing, const StepSettings& settings);

// The parameters in the order of their arena, which every plan of a run has to share: the frozen ones, then as backward completes them.
std::vector<std::string> parameter_order(const graph::Graph& training);

// Those that have an average.
std::vector<std::string> averaged_parameters(const graph::Graph& training);

}  // namespace fovea::train
