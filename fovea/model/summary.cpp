// The columns are as wide as their longest cell; counts have separators.
#include "fovea/model/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "fovea/model/blocks.h"

namespace fovea::model {
namespace {

constexpr size_t columns = 6, inputs_column = 5;
using Row = std::array<std::string, columns>;

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

std::string window_text(const Window& window) {
  std::string text = window.r == window.s ? fmt::format(" {0}x{0}", window.r) : fmt::format(" {}x{}", window.r, window.s);
  if (window.stride_h != 1 || window.stride_w != 1) text += fmt::format(" /{}", window.stride_h);
  if (window.stride_h != window.stride_w) text += fmt::format("x{}", window.stride_w);
  return text;
}

std::string conv2d_text(const Conv2dShape& shape) {
  if (shape.groups == 1) return "conv2d" + window_text(shape.window);
  if (shape.groups == shape.c) return "depthwise_conv2d" + window_text(shape.window);
  return fmt::format("conv2d{} in {} groups", window_text(shape.window), shape.groups);
}

std::string kind_text(const Layer& layer) {
  std::string text(name_of(layer.kind));
  if (const auto* conv2d = std::get_if<Conv2dLayer>(&layer.kind)) text = conv2d_text(conv2d->shape);
  if (const auto* pool = std::get_if<MaxPoolLayer>(&layer.kind)) text += window_text(pool->shape.window);
  if (const auto* pool = std::get_if<AvgPoolLayer>(&layer.kind)) text += window_text(pool->shape.window);
  if (const auto* dropout = std::get_if<DropoutLayer>(&layer.kind)) text += fmt::format(" {}", dropout->rate);
  if (const auto* shortcut = std::get_if<ShortcutLayer>(&layer.kind))
    text += shortcut->is_identity() ? " (identity)" : fmt::format(" /{}, zero channels", shortcut->shape.stride);
  const bool is_activation = std::holds_alternative<ActivationLayer>(layer.kind);
  if (layer.batch_norm && !std::holds_alternative<BatchNormLayer>(layer.kind)) text += " + batch_norm";
  if (layer.activation) text += fmt::format("{}{}", is_activation ? " " : " + ", name_of(*layer.activation));
  return text;
}

// Without what it has in common with the name of the layer that takes it: the block both are in.
std::string name_seen_from(const Layer& layer, const std::string& name) {
  const size_t dot = layer.name.rfind('.');
  const std::string block = dot == std::string::npos ? "" : layer.name.substr(0, dot + 1);
  return name.starts_with(block) ? name.substr(block.size()) : name;
}

// Where a layer does not just take the output of the one above it.
std::string inputs_text(const Network& network, size_t place) {
  const Layer& layer = network.layers[place];
  if (layer.from == std::vector<int>{static_cast<int>(place) - 1}) return "";
  std::string text;
  for (const int from : layer.from) {
    const std::string name = from == image_input ? "input" : network.layers[static_cast<size_t>(from)].name;
    text += (text.empty() ? "" : ", ") + name_seen_from(layer, name);
  }
  return text;
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
  std::array<size_t, columns> widths{};
  for (const Row& row : rows)
    for (size_t i = 0; i < columns; ++i) widths[i] = std::max(widths[i], row[i].size());
  std::string text;
  for (const Row& row : rows) {
    std::string line = fmt::format("  {:<{}}  {:<{}}  {:<{}}  {:>{}}  {:>{}}  {}", row[0], widths[0], row[1], widths[1], row[2], widths[2],
                                   row[3], widths[3], row[4], widths[4], row[inputs_column]);
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  }
  return text;
}

std::string totals_of(const Network& network) {
  const int64_t all = network.parameter_elements(), trained = network.trained_elements();
  if (all == trained) return fmt::format("parameters: {}, all trained ({} bytes as f32)\n", grouped(all), grouped(all * 4));
  return fmt::format("parameters: {} ({} bytes as f32): {} trained, {} not (running statistics of batch norms)\n", grouped(all),
                     grouped(all * 4), grouped(trained), grouped(all - trained));
}

}  // namespace

int64_t macs_per_image(const Network& network) { return macs_of(graph_of(network), ""); }

std::string summary(const Network& network) {
  const graph::Graph graph = graph_of(network);
  std::vector<Row> rows = {{"layer", "kind", "output", "parameters", "MACs", ""}};
  rows.push_back({"input", "image", shape_text({network.h, network.w, network.c}), "", "", ""});
  for (size_t i = 0; i < network.layers.size(); ++i) {
    const Layer& layer = network.layers[i];
    const int64_t parameters = parameters_of(network, layer), macs = macs_of(graph, layer.name);
    rows.push_back({layer.name, kind_text(layer), shape_text(layer.out), parameters > 0 ? grouped(parameters) : "",
                    macs > 0 ? grouped(macs) : "", inputs_text(network, i)});
    if (!rows.back()[inputs_column].empty()) rows[0][inputs_column] = "from";
  }
  return fmt::format("{} ({})\n{}{}MACs: {} for one image, forward\nloss: {}\n", network.name, network.file, table_of(rows),
                     totals_of(network), grouped(macs_of(graph, "")), name_of(network.loss));
}

}  // namespace fovea::model
