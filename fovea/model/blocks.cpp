// One rule per kind of layer: add yours here.
#include "fovea/model/blocks.h"

#include <fmt/format.h>

#include "fovea/base/error.h"

namespace fovea::model {
namespace {

using graph::Graph;
using graph::no_value;
using graph::Role;
using graph::ValueId;

class Forward {
 public:
  Forward(Graph& graph, const Network& network, const ForwardSettings& settings)
      : graph_(graph), network_(network), settings_(settings), x_(settings.images), n_(graph.value(settings.images).shape[0]) {}

  ValueId append() {
    for (const Layer& layer : network_.layers) {
      layer_ = &layer;
      x_ = input(0);
      std::visit([&](const auto& kind) { append(kind); }, layer.kind);
      if (layer.batch_norm) append_batch_norm(*layer.batch_norm);
      if (layer.activation) node(ActivationForward{*layer.activation, x().elements(), {}, layer.slope}, {x_});
      outputs_.push_back(x_);
    }
    return x_;
  }

 private:
  void append(const Conv2dLayer& layer) {
    Conv2dShape shape = layer.shape;
    shape.n = n_;
    node(Conv2dForward{shape, {}}, {x_, factor(layer_->name + ".weight")});
    append_bias(layer.bias, shape.k);
  }
  void append(const LinearLayer& layer) {
    LinearShape shape = layer.shape;
    shape.n = n_;
    node(LinearForward{shape, {}}, {x_, factor(layer_->name + ".weight")});
    append_bias(layer.bias, shape.k);
  }
  void append(const MaxPoolLayer& layer) {
    PoolShape shape = layer.shape;
    shape.n = n_;
    node(MaxPoolForward{shape, {}}, {x_});
  }
  void append(const AvgPoolLayer& layer) {
    PoolShape shape = layer.shape;
    shape.n = n_;
    node(AvgPoolForward{shape, layer.count_padding, {}}, {x_});
  }
  void append(const GlobalAvgPoolLayer& layer) {
    PoolShape shape = layer.shape;
    shape.n = n_;
    node(AvgPoolForward{shape, CountPadding::no, {}}, {x_});
    node(Flatten{x()}, {x_});
  }
  void append(const DropoutLayer& layer) {
    if (settings_.phase == Phase::evaluation || layer.rate == 0) return;
    const ValueId control = graph_.find("control");
    if (control == no_value) throw Error(ExitCode::internal, "dropout needs the value `control` in the graph");
    node(DropoutForward{n_, x().elements() / n_, layer.rate, layer.number, settings_.first_sample, {}}, {x_, control});
  }
  void append(const FlattenLayer&) { node(Flatten{x()}, {x_}); }
  void append(const AddLayer&) { node(Add{x().elements(), {}}, {input(0), input(1)}); }
  void append(const ConcatLayer&) {
    ConcatForward op;
    std::vector<ValueId> in;
    for (size_t i = 0; i < layer_->from.size(); ++i) {
      in.push_back(input(i));
      const Shape& part = graph_.value(in[i]).shape;
      op.channels.push_back(part[part.rank() - 1]);
      op.rows = part.elements() / op.channels.back();
    }
    node(std::move(op), std::move(in));
  }
  void append(const ShortcutLayer& layer) {
    if (layer.is_identity()) return;
    ShortcutShape shape = layer.shape;
    shape.n = n_;
    node(ShortcutForward{shape, {}}, {x_});
  }
  void append(const BatchNormLayer&) {}
  void append(const ActivationLayer&) {}

  void append_bias(Bias bias, int64_t k) {
    if (bias == Bias::yes) node(BiasForward{x().elements() / k, k, {}}, {x_, parameter(layer_->name + ".bias")});
  }

  void append_batch_norm(const BatchNorm& settings) {
    const int64_t c = x()[x().rank() - 1], rows = x().elements() / c;
    const std::string name = layer_->batch_norm_name();
    const ValueId scale = parameter(name + ".weight"), shift = parameter(name + ".bias");
    if (settings_.phase == Phase::evaluation) {
      node(BatchNormInference{rows, c, settings.epsilon, {}},
           {x_, scale, shift, parameter(name + ".running_mean"), parameter(name + ".running_variance")});
      return;
    }
    if (rows == 1)
      throw Error(ErrorId::contradiction,
                  fmt::format("layer `{}` normalises over a batch, but gets 1 image of 1 value for each channel", layer_->name))
          .at(network_.file, layer_->line)
          .note("one value is its own mean: all of them would become 0")
          .help("choose batch and micro_batches so that no part of a step, the last of an epoch included, is of a single image");
    node(BatchNormForward{rows, c, settings.epsilon, {}}, {x_, scale, shift});
  }

  const Shape& x() const { return graph_.value(x_).shape; }
  ValueId input(size_t i) const {
    const int place = layer_->from[i];
    return place == image_input ? settings_.images : outputs_[static_cast<size_t>(place)];
  }

  void node(Op op, std::vector<ValueId> in) {
    x_ = graph_.add(graph::in_precision(std::move(op), settings_.precision), layer_->name, std::move(in), settings_.micro_batch);
  }

  ValueId parameter(const std::string& name) { return value_of(graph_, network_.parameter(name), settings_.precision.weights); }
  // What a product reads of a parameter.
  ValueId factor(const std::string& name) {
    const ValueId master = parameter(name);
    return settings_.precision.has_working_copies() ? graph_.working_copy(master, settings_.precision.values) : master;
  }

  Graph& graph_;
  const Network& network_;
  const ForwardSettings& settings_;
  const Layer* layer_ = nullptr;
  ValueId x_;
  int64_t n_;
  std::vector<ValueId> outputs_;  // of the layers so far
};

}  // namespace

ValueId value_of(Graph& graph, const Parameter& parameter, DType dtype) {
  const ValueId found = graph.find(parameter.name);
  if (found != no_value) return found;
  return graph.add_value(
      {parameter.name, parameter.trained == Trained::yes ? Role::parameter : Role::running, dtype, parameter.shape, no_value});
}

ValueId append_forward(Graph& graph, const Network& network, const ForwardSettings& settings) {
  const Shape &given = graph.value(settings.images).shape, taken = {given[0], network.h, network.w, network.c};
  if (given != taken)
    throw Error(ExitCode::internal, fmt::format("network `{}` takes images {} but gets {}", network.name, taken.text(), given.text()));
  return Forward(graph, network, settings).append();
}

ValueId append_loss(Graph& graph, const Network& network, const LossSettings& settings) {
  const graph::Value& logits = graph.value(settings.logits);
  const int64_t n = logits.shape[0], k = logits.shape[1];
  const std::vector<ValueId> in = {settings.logits, settings.targets};
  const Op op = network.loss == Loss::binary_cross_entropy
                    ? Op(BinaryCrossEntropyForward{n, settings.smoothing, {}, settings.class_weights})
                    : Op(SoftmaxCrossEntropyForward{n, k, settings.smoothing, {}, settings.class_weights});
  const ValueId loss = graph.add(graph::in_precision(op, settings.precision), "loss", in, settings.micro_batch);
  ValueId metrics = graph.find("metrics");
  if (metrics == no_value) metrics = graph.add_value({"metrics", Role::metrics, DType::byte, {sizeof(Metrics)}, no_value});
  graph.add_into(graph::in_precision(Score{n, k, {}}, settings.precision), "score", {settings.logits, settings.targets, loss}, {metrics},
                 settings.micro_batch);
  return loss;
}

}  // namespace fovea::model
