// Turns a network into nodes of a graph: canonical and unfused; bias, batch norm and activation are nodes of their own.
#pragma once

#include "fovea/graph/graph.h"
#include "fovea/graph/precision.h"
#include "fovea/model/network.h"

namespace fovea::model {

enum class Phase : uint8_t { training, evaluation };  // dropout exists in training only, and batch norms take
// the statistics of the batch; in evaluation, the running ones

struct ForwardSettings {
  graph::ValueId images = graph::no_value;  // (n, h, w, c) of precision.values; n is the size of this micro-batch
  Phase phase = Phase::training;
  int micro_batch = 0;
  int64_t first_sample = 0;  // of this micro-batch within the step
  graph::Precision precision = {};
};

// Appends the layers, each node named after its layer, and returns the logits (n, outputs). Parameters are found in the graph by name, or
// added; dropout reads the value "control".
graph::ValueId append_forward(graph::Graph& graph, const Network& network, const ForwardSettings& settings);

// The parameter's value, found in the graph by name or added.
graph::ValueId value_of(graph::Graph& graph, const Parameter& parameter, DType dtype);

struct LossSettings {
  graph::ValueId logits = graph::no_value;   // what append_forward returned
  graph::ValueId targets = graph::no_value;  // (n) i32
  float smoothing = 0;
  int micro_batch = 0;
  std::vector<float> class_weights = {};
  graph::Precision precision = {};
};

// Appends the network's loss, one number per image, and a node that adds it to the value "metrics" (found by name, or added);
// returns the losses.
graph::ValueId append_loss(graph::Graph& graph, const Network& network, const LossSettings& settings);

}  // namespace fovea::model
