#include "fovea/train/step_graph.h"

#include <algorithm>

#include "fovea/graph/backward.h"
#include "fovea/graph/recompute.h"
#include "fovea/model/blocks.h"
#include "fovea/train/tensors.h"

namespace fovea::train {
namespace {

using graph::Graph;
using graph::Role;
using graph::ValueId;

constexpr const char* average_suffix = ".average";

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
  return std::get<Augment>(graph::in_precision(std::move(op), settings.precision));
}

struct Part {  // of a step
  model::Phase phase = model::Phase::training;
  int micro_batch = 0;
  float smoothing = 0;
  std::vector<float> class_weights = {};
  graph::Precision precision = {};
};

void add_forward(Graph& graph, const model::Network& network, const Inputs& inputs, const Augment& augment, const Part& part) {
  const ValueId images = graph.add(augment, data_node, {inputs.pixels, inputs.labels, inputs.control}, part.micro_batch);
  const ValueId targets = graph.nodes.back().out[1];
  const ValueId logits =
      model::append_forward(graph, network, {images, part.phase, part.micro_batch, augment.first_sample, part.precision});
  model::append_loss(graph, network, {logits, targets, part.smoothing, part.micro_batch, part.class_weights, part.precision});
}

// What the update does to the running statistics of every batch norm, with its inputs and outputs.
struct Statistics {
  std::vector<Update::Running> running;
  std::vector<ValueId> in, out;
};

Statistics statistics_of(Graph& graph, const model::Network& network, DType dtype) {
  Statistics statistics;
  for (const model::Layer& layer : network.layers) {
    if (!layer.batch_norm) continue;
    const model::Parameter& mean = network.parameter(layer.batch_norm_name() + ".running_mean");
    Update::Running running = {mean.shape.elements(), layer.batch_norm->momentum, {}};
    for (const graph::Node& node : graph.nodes) {
      const BatchNormForward* op = std::get_if<BatchNormForward>(&node.op);
      if (!op || node.name != layer.name) continue;
      running.unbias.push_back(static_cast<float>(static_cast<double>(op->rows) / static_cast<double>(op->rows - 1)));
      statistics.in.insert(statistics.in.end(), {node.out[1], node.out[2]});
    }
    statistics.out.push_back(model::value_of(graph, mean, dtype));
    statistics.out.push_back(model::value_of(graph, network.parameter(layer.batch_norm_name() + ".running_variance"), dtype));
    statistics.running.push_back(std::move(running));
  }
  return statistics;
}

void freeze(Graph& graph, const model::Network& network, const std::vector<TensorSettings>& tensors) {
  for (size_t i = 0; i < tensors.size(); ++i)
    if (tensors[i].frozen == Switch::on) graph.values[static_cast<size_t>(graph.find(network.parameters[i].name))].frozen = true;
}

// One more value of the shape of each parameter, for the update alone.
void add_beside(Graph& graph, const std::vector<ValueId>& parameters, const std::string& suffix, Role role, std::vector<ValueId>& out) {
  for (const ValueId id : parameters) {
    graph::Value value = graph.value(id);
    value.name += suffix;
    value.role = role;
    out.push_back(graph.add_value(std::move(value)));
  }
}

Update::Parameter update_of(const Graph& graph, ValueId id, const model::Network& network, const std::vector<TensorSettings>& tensors) {
  const TensorSettings& settings = tensors[network.parameter(graph.value(id).name).number];
  const bool has_copy = graph.find(graph.value(id).name + std::string(graph::working_suffix)) != graph::no_value;
  return {graph.value(id).shape.elements(), static_cast<float>(settings.decay), static_cast<float>(settings.rate_scale),
          has_copy ? Update::Working::copy : Update::Working::none};
}

void add_update(Graph& graph, const Recipe& recipe, const Inputs& inputs, Update op, Statistics statistics) {
  op.rule = recipe.update_rule();
  op.clip_norm = static_cast<float>(recipe.clip_norm);
  op.ema_decay = static_cast<float>(recipe.ema_decay);
  const std::vector<ValueId> parameters = graph::completion_order(graph);
  std::vector<ValueId> gradients, in = {inputs.control, inputs.metrics}, out = parameters;
  for (const ValueId id : parameters) gradients.push_back(graph.find(graph.value(id).name + ".grad"));
  in.insert(in.end(), gradients.begin(), gradients.end());
  if (op.clip_norm > 0) {
    GradientNorm norm;
    norm.types = {op.types.w, op.types.w, op.types.w, op.types.accumulator};
    norm.scaling = op.scaling;
    for (const Update::Parameter& parameter : op.parameters) norm.elements.push_back(parameter.elements);
    if (op.scaling == Scaling::dynamic) gradients.push_back(graph.find(graph::loss_scale_name));
    in.push_back(graph.add(std::move(norm), "gradients", std::move(gradients)));
  }
  for (int moment = 1; moment <= moments_of(op.rule); ++moment)
    add_beside(graph, parameters, ".moment" + std::to_string(moment), Role::state, out);
  if (op.ema_decay > 0) add_beside(graph, parameters, average_suffix, Role::average, out);
  op.running = std::move(statistics.running);
  in.insert(in.end(), statistics.in.begin(), statistics.in.end());
  out.insert(out.end(), statistics.out.begin(), statistics.out.end());
  for (const ValueId id : parameters)
    if (const ValueId copy = graph.find(graph.value(id).name + std::string(graph::working_suffix)); copy != graph::no_value)
      out.push_back(copy);
  if (op.scaling == Scaling::dynamic) out.push_back(graph.find(graph::loss_scale_name));
  graph.add_into(std::move(op), "update", std::move(in), std::move(out));
}

// Evaluation takes the average in the place of the parameter. The working copies in their arena are those of the parameters: here they are
// made from the average, first of all.
void take_average(Graph& graph, ValueId parameter, const graph::Precision& precision) {
  graph::Value& value = graph.values[static_cast<size_t>(parameter)];
  value.role = Role::average;
  const ValueId copy = graph.find(value.name + std::string(graph::working_suffix));
  if (copy == graph::no_value) return;
  graph.values[static_cast<size_t>(copy)].role = Role::activation;
  graph.add_into(graph::in_precision(Convert{value.shape.elements(), {}}, precision), value.name, {parameter}, {copy});
  std::rotate(graph.nodes.begin(), graph.nodes.end() - 1, graph.nodes.end());
}

}  // namespace

Graph training_graph(const model::Network& network, const Recipe& recipe, const Preprocessing& preprocessing,
                     const StepSettings& settings) {
  Graph graph;
  const Inputs inputs = add_inputs(graph, network, settings);
  if (settings.precision.scaling() == Scaling::dynamic)
    graph.add_value({.name = std::string(graph::loss_scale_name), .role = Role::state, .dtype = DType::byte, .shape = {sizeof(LossScale)}});
  Augment augment = gather(network, preprocessing, settings);
  augment.order = Order::shuffled;
  augment.mirror = recipe.mirror == Switch::on ? Mirror::random : Mirror::none;
  augment.crop_padding = recipe.crop_padding;
  const int64_t part_size = (settings.batch + recipe.micro_batches - 1) / recipe.micro_batches;
  const std::vector<TensorSettings> tensors = tensor_settings(recipe, network);
  for (Part part{.smoothing = static_cast<float>(recipe.label_smoothing),
            .class_weights = settings.class_weights,
            .precision = settings.precision};
       augment.first_sample < settings.batch; ++part.micro_batch) {
    augment.n = std::min(part_size, settings.batch - augment.first_sample);
    const size_t first = graph.nodes.size();
    add_forward(graph, network, inputs, augment, part);
    freeze(graph, network, tensors);
    const size_t backward = graph.nodes.size();
    graph::add_backward(graph, first, settings.batch);
    if (recipe.recompute == Switch::on) graph::compute_again(graph, {first, backward});
    augment.first_sample += augment.n;
  }
  Update update = std::get<Update>(graph::in_precision(Update(), settings.precision));
  update.images = settings.batch;
  for (const ValueId id : graph::completion_order(graph)) update.parameters.push_back(update_of(graph, id, network, tensors));
  add_update(graph, recipe, inputs, std::move(update), statistics_of(graph, network, settings.precision.weights));
  return graph;
}

Graph evaluation_graph(const model::Network& network, const Preprocessing& preprocessing, const StepSettings& settings) {
  Graph graph;
  const Inputs inputs = add_inputs(graph, network, settings);
  Augment augment = gather(network, preprocessing, settings);
  augment.n = settings.batch;
  add_forward(graph, network, inputs, augment, {.phase = model::Phase::evaluation, .precision = settings.precision});
  for (const std::string& name : settings.averaged) take_average(graph, graph.find(name), settings.precision);
  return graph;
}

PredictionGraph prediction_graph(const model::Network& network, const Preprocessing& preprocessing, const StepSettings& settings) {
  PredictionGraph prediction;
  Graph& graph = prediction.graph;
  const Inputs inputs = add_inputs(graph, network, settings);
  Augment augment = gather(network, preprocessing, settings);
  augment.n = settings.batch;
  const ValueId images = graph.add(augment, data_node, {inputs.pixels, inputs.labels, inputs.control});
  prediction.logits =
      model::append_forward(graph, network, {.images = images, .phase = model::Phase::evaluation, .precision = settings.precision});
  return prediction;
}

std::vector<std::string> parameter_order(const Graph& training) {
  std::vector<std::string> names;
  for (const graph::Value& value : training.values)
    if (value.role == Role::parameter && value.frozen) names.push_back(value.name);
  for (const ValueId id : graph::completion_order(training)) names.push_back(training.value(id).name);
  return names;
}

std::vector<std::string> averaged_parameters(const Graph& training) {
  std::vector<std::string> names;
  for (const std::string& name : parameter_order(training))
    if (training.find(name + average_suffix) != graph::no_value) names.push_back(name);
  return names;
}

}  // namespace fovea::train
