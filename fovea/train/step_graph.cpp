#include "fovea/train/step_graph.h"

#include <algorithm>

#include "fovea/graph/backward.h"
#include "fovea/model/blocks.h"

namespace fovea::train {
namespace {

using graph::Graph;
using graph::Role;
using graph::ValueId;

struct Inputs {
  ValueId pixels, labels, control, metrics;
};

Inputs add_inputs(Graph& graph, const model::Network& network, const StepSettings& settings) {
  return {graph.add_value({"pixels", Role::pixels, DType::u8, {settings.images, network.h, network.w, network.c}}),
          graph.add_value({"labels", Role::labels, DType::i32, {settings.images}}),
          graph.add_value({"control", Role::control, DType::byte, {sizeof(StepControl)}}),
          graph.add_value({"metrics", Role::metrics, DType::byte, {sizeof(Metrics)}})};
}

Augment gather(const model::Network& network, const Preprocessing& preprocessing, const StepSettings& settings) {
  Augment op;
  op.h = network.h;
  op.w = network.w;
  op.c = network.c;
  op.images = settings.images;
  op.mean = preprocessing.mean;
  op.deviation = preprocessing.deviation;
  op.types = {settings.dtype, settings.dtype, settings.dtype, settings.dtype};
  return op;
}

struct Part {  // of a step
  model::Phase phase = model::Phase::training;
  int micro_batch = 0;
  float smoothing = 0;
};

void add_forward(Graph& graph, const model::Network& network, const Inputs& inputs, const Augment& augment, const Part& part) {
  const ValueId images = graph.add(augment, data_node, {inputs.pixels, inputs.labels, inputs.control}, part.micro_batch);
  const ValueId targets = graph.nodes.back().out[1];
  const ValueId logits =
      model::append_forward(graph, network, {images, part.phase, part.micro_batch, augment.first_sample, augment.types.y});
  model::append_loss(graph, network, {logits, targets, part.smoothing, part.micro_batch});
}

void add_update(Graph& graph, const Recipe& recipe, const Inputs& inputs, DType dtype) {
  Update op;
  op.rule = recipe.update_rule();
  op.types = {dtype, dtype, dtype, dtype};
  const std::vector<ValueId> parameters = graph::completion_order(graph);
  std::vector<ValueId> in = {inputs.control, inputs.metrics}, out = parameters;
  for (const ValueId id : parameters) {
    op.parameters.push_back({graph.value(id).shape.elements(), static_cast<float>(recipe.weight_decay), 1});
    in.push_back(graph.find(graph.value(id).name + ".grad"));
  }
  for (int moment = 1; moment <= moments_of(op.rule); ++moment)
    for (const ValueId id : parameters) {
      graph::Value value = graph.value(id);
      value.name += ".moment" + std::to_string(moment);
      value.role = Role::state;
      out.push_back(graph.add_value(std::move(value)));
    }
  graph.add_into(std::move(op), "update", std::move(in), std::move(out));
}

}  // namespace

Graph training_graph(const model::Network& network, const Recipe& recipe, const Preprocessing& preprocessing,
                     const StepSettings& settings) {
  Graph graph;
  const Inputs inputs = add_inputs(graph, network, settings);
  Augment augment = gather(network, preprocessing, settings);
  augment.order = Order::shuffled;
  augment.mirror = recipe.mirror == Switch::on ? Mirror::random : Mirror::none;
  augment.crop_padding = recipe.crop_padding;
  const int64_t part_size = (settings.batch + recipe.micro_batches - 1) / recipe.micro_batches;
  for (Part part{.smoothing = static_cast<float>(recipe.label_smoothing)}; augment.first_sample < settings.batch; ++part.micro_batch) {
    augment.n = std::min(part_size, settings.batch - augment.first_sample);
    const size_t first = graph.nodes.size();
    add_forward(graph, network, inputs, augment, part);
    graph::add_backward(graph, first, settings.batch);
    augment.first_sample += augment.n;
  }
  add_update(graph, recipe, inputs, settings.dtype);
  return graph;
}

Graph evaluation_graph(const model::Network& network, const Preprocessing& preprocessing, const StepSettings& settings) {
  Graph graph;
  const Inputs inputs = add_inputs(graph, network, settings);
  Augment augment = gather(network, preprocessing, settings);
  augment.n = settings.batch;
  add_forward(graph, network, inputs, augment, {.phase = model::Phase::evaluation});
  return graph;
}

std::vector<std::string> parameter_order(const Graph& training) {
  std::vector<std::string> names;
  for (const ValueId id : graph::completion_order(training)) names.push_back(training.value(id).name);
  return names;
}

}  // namespace fovea::train
