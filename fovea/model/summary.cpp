// The columns are as wide as their longest cell; counts have separators.
#include "fovea/model/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "fovea/model/blocks.h"

namespace fovea::model {
namespace {

using Row = std::array<std::string, 5>;

graph::Graph graph_of(const Network& network) {
  graph::Graph graph;
  ForwardSettings settings;
  settings.images = graph.add_value({"images", graph::Role::activation, DType::f32, {1, network.h, network.w, network.c}, graph::no_value});
  settings.phase = Phase::evaluation;
  append_forward(graph, network, settings);
  return graph;
}

int64_t macs_of(const graph::Graph& graph, std::string_view layer) {
  int64_t macs = 0;
  for (const graph::Node& node : graph.nodes)
    if (layer.empty() || node.name == layer) macs += fovea::macs_of(node.op);
  return macs;
}

std::string grouped(int64_t number) {
  const std::string digits = fmt::format("{}", number);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string_view activation_of(const LayerKind& kind) {
  std::optional<Activation> activation;
  if (const auto* conv2d = std::get_if<Conv2dLayer>(&kind)) activation = conv2d->activation;
  if (const auto* linear = std::get_if<LinearLayer>(&kind)) activation = linear->activation;
  if (const auto* alone = std::get_if<ActivationLayer>(&kind)) activation = alone->activation;
  return activation ? name_of(*activation) : "";
}

std::string window_text(const Window& window) {
  std::string text = window.r == window.s ? fmt::format(" {0}x{0}", window.r) : fmt::format(" {}x{}", window.r, window.s);
  if (window.stride_h != 1 || window.stride_w != 1) text += fmt::format(" /{}", window.stride_h);
  if (window.stride_h != window.stride_w) text += fmt::format("x{}", window.stride_w);
  return text;
}

std::string kind_text(const LayerKind& kind) {
  std::string text(name_of(kind));
  if (const auto* conv2d = std::get_if<Conv2dLayer>(&kind)) text += window_text(conv2d->shape.window);
  if (const auto* pool = std::get_if<MaxPoolLayer>(&kind)) text += window_text(pool->shape.window);
  if (const auto* pool = std::get_if<AvgPoolLayer>(&kind)) text += window_text(pool->shape.window);
  if (const auto* dropout = std::get_if<DropoutLayer>(&kind)) text += fmt::format(" {}", dropout->rate);
  const std::string_view activation = activation_of(kind);
  return activation.empty() ? text : fmt::format("{}{}{}", text, std::holds_alternative<ActivationLayer>(kind) ? " " : " + ", activation);
}

std::string shape_text(const Shape& shape) {
  return shape.rank() == 3 ? fmt::format("{} x {} x {}", shape[0], shape[1], shape[2]) : fmt::format("{}", shape[0]);
}

int64_t parameters_of(const Network& network, const Layer& layer) {
  int64_t sum = 0;
  for (const Parameter& parameter : network.parameters)
    if (parameter.name.starts_with(layer.name + ".")) sum += parameter.shape.elements();
  return sum;
}

std::string table_of(const std::vector<Row>& rows) {
  std::array<size_t, 5> widths{};
  for (const Row& row : rows)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  std::string text;
  for (const Row& row : rows)
    text += fmt::format("  {:<{}}  {:<{}}  {:<{}}  {:>{}}  {:>{}}\n", row[0], widths[0], row[1], widths[1], row[2], widths[2], row[3],
                        widths[3], row[4], widths[4]);
  return text;
}

}  // namespace

int64_t macs_per_image(const Network& network) { return macs_of(graph_of(network), ""); }

std::string summary(const Network& network) {
  const graph::Graph graph = graph_of(network);
  std::vector<Row> rows = {{"layer", "kind", "output", "parameters", "MACs"}};
  rows.push_back({"input", "image", shape_text({network.h, network.w, network.c}), "", ""});
  for (const Layer& layer : network.layers) {
    const int64_t parameters = parameters_of(network, layer), macs = macs_of(graph, layer.name);
    rows.push_back({layer.name, kind_text(layer.kind), shape_text(layer.out), parameters > 0 ? grouped(parameters) : "",
                    macs > 0 ? grouped(macs) : ""});
  }
  const int64_t parameters = network.parameter_elements();
  return fmt::format("{} ({})\n{}parameters: {}, all trained ({} bytes as f32)\nMACs: {} for one image, forward\nloss: {}\n", network.name,
                     network.file, table_of(rows), grouped(parameters), grouped(parameters * 4), grouped(macs_of(graph, "")),
                     name_of(network.loss));
}

}  // namespace fovea::model
