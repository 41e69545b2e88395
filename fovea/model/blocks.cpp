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
      : graph_(graph),
        network_(network),
        settings_(settings),
        types_{settings.dtype, settings.dtype, settings.dtype, settings.dtype},
        x_(settings.images),
        n_(graph.value(settings.images).shape[0]) {}

  ValueId append() {
    for (const Layer& layer : network_.layers) {
      layer_ = &layer;
      std::visit([&](const auto& kind) { append(kind); }, layer.kind);
    }
    return x_;
  }

 private:
  void append(const Conv2dLayer& layer) {
    Conv2dShape shape = layer.shape;
    shape.n = n_;
    node(Conv2dForward{shape, types_}, {x_, parameter("weight")});
    append_bias(layer.bias, shape.k);
    append_activation(layer.activation);
  }
  void append(const LinearLayer& layer) {
    LinearShape shape = layer.shape;
    shape.n = n_;
    node(LinearForward{shape, types_}, {x_, parameter("weight")});
    append_bias(layer.bias, shape.k);
    append_activation(layer.activation);
  }
  void append(const MaxPoolLayer& layer) {
    PoolShape shape = layer.shape;
    shape.n = n_;
    node(MaxPoolForward{shape, types_}, {x_});
  }
  void append(const AvgPoolLayer& layer) {
    PoolShape shape = layer.shape;
    shape.n = n_;
    node(AvgPoolForward{shape, layer.count_padding, types_}, {x_});
  }
  void append(const ActivationLayer& layer) { append_activation(layer.activation); }
  void append(const DropoutLayer& layer) {
    if (settings_.phase == Phase::evaluation || layer.rate == 0) return;
    const ValueId control = graph_.find("control");
    if (control == no_value) throw Error(ExitCode::internal, "dropout needs the value `control` in the graph");
    node(DropoutForward{n_, layer_->in.elements(), layer.rate, layer.number, settings_.first_sample, types_}, {x_, control});
  }
  void append(const FlattenLayer&) { node(Flatten{graph_.value(x_).shape}, {x_}); }

  void append_bias(Bias bias, int64_t k) {
    if (bias == Bias::yes) node(BiasForward{graph_.value(x_).shape.elements() / k, k, types_}, {x_, parameter("bias")});
  }
  void append_activation(std::optional<Activation> activation) {
    if (activation) node(ActivationForward{*activation, graph_.value(x_).shape.elements(), types_}, {x_});
  }

  void node(Op op, std::vector<ValueId> in) { x_ = graph_.add(std::move(op), layer_->name, std::move(in), settings_.micro_batch); }

  ValueId parameter(std::string_view what) {
    const Parameter& parameter = network_.parameter(fmt::format("{}.{}", layer_->name, what));
    const ValueId found = graph_.find(parameter.name);
    return found != no_value ? found : graph_.add_value({parameter.name, Role::parameter, settings_.dtype, parameter.shape, no_value});
  }

  Graph& graph_;
  const Network& network_;
  const ForwardSettings& settings_;
  const Layer* layer_ = nullptr;
  Types types_;
  ValueId x_;
  int64_t n_;
};

}  // namespace

ValueId append_forward(Graph& graph, const Network& network, const ForwardSettings& settings) {
  const Shape &given = graph.value(settings.images).shape, taken = {given[0], network.h, network.w, network.c};
  if (given != taken)
    throw Error(ExitCode::internal, fmt::format("network `{}` takes images {} but gets {}", network.name, taken.text(), given.text()));
  return Forward(graph, network, settings).append();
}

ValueId append_loss(Graph& graph, const Network& network, const LossSettings& settings) {
  const graph::Value& logits = graph.value(settings.logits);
  const int64_t n = logits.shape[0], k = logits.shape[1];
  const Types types = {logits.dtype, logits.dtype, logits.dtype, logits.dtype};
  const std::vector<ValueId> in = {settings.logits, settings.targets};
  const Op op = network.loss == Loss::binary_cross_entropy
                    ? Op(BinaryCrossEntropyForward{n, settings.smoothing, types, settings.class_weights})
                    : Op(SoftmaxCrossEntropyForward{n, k, settings.smoothing, types, settings.class_weights});
  const ValueId loss = graph.add(op, "loss", in, settings.micro_batch);
  ValueId metrics = graph.find("metrics");
  if (metrics == no_value) metrics = graph.add_value({"metrics", Role::metrics, DType::byte, {sizeof(Metrics)}, no_value});
  graph.add_into(Score{n, k, types}, "score", {settings.logits, settings.targets, loss}, {metrics}, settings.micro_batch);
  return loss;
}

}  // namespace fovea::model
