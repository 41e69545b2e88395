// A network's text as a whole, where it is found, and whether it fits a data set.
#include "fovea/model/network.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "fovea/base/file.h"
#include "fovea/model/layer_values.h"
#include "fovea/model/layers.h"
#include "fovea/model/shipped.h"
#include "fovea/model/text.h"

namespace fovea::model {
namespace {

namespace fs = std::filesystem;

constexpr int64_t largest_input = 65536;                                                    // height, width and channels each
const std::vector<std::string> losses = {"softmax_cross_entropy", "binary_cross_entropy"};  // in the order of the enumeration

std::string images_text(int64_t h, int64_t w, int64_t c) { return fmt::format("{} x {} x {}", h, w, c); }

Error error_at(const Network& network, const Layer& layer, ErrorId id, const std::string& what) {
  Error problem(id, fmt::format("layer `{}` {}", layer.name, what));
  problem.at(network.file, layer.line);
  return problem;
}

// The network must end in logits for its loss, and have something to train.
void check_end(Network& network) {
  const Layer& last = network.layers.back();
  if (last.out.rank() != 1)
    throw error_at(network, last, ErrorId::network_end,
                   fmt::format("is the last one, but gives an image of {}, not one value for each class",
                               images_text(last.out[0], last.out[1], last.out[2])))
        .help("end with `{ flatten = true },` and `{ linear = CLASSES },`");
  if (last.activation)
    throw error_at(network, last, ErrorId::network_end, "is the last one, but ends in an activation")
        .help("leave it out: the loss works on the values before it");
  network.outputs = last.out[0];
  if (network.loss == Loss::binary_cross_entropy && network.outputs != 1)
    throw error_at(network, last, ErrorId::network_end,
                   fmt::format("gives {} outputs, but binary_cross_entropy takes one", network.outputs))
        .help("end with `{ linear = 1 },`, or take the loss softmax_cross_entropy");
  if (network.loss == Loss::softmax_cross_entropy && network.outputs == 1)
    throw error_at(network, last, ErrorId::network_end, "gives one output, but softmax_cross_entropy takes one for each class")
        .help("set `loss = \"binary_cross_entropy\"`, or end with a linear layer of one output for each class");
  if (network.parameters.empty())
    throw Error(ErrorId::network_end, "the network has no weights to train").at(network.file).help("add a conv2d or a linear layer");
}

}  // namespace

std::string_view name_of(Loss loss) { return losses[static_cast<size_t>(loss)]; }

std::string_view name_of(const LayerKind& kind) {
  return std::visit([](const auto& layer) { return std::decay_t<decltype(layer)>::name; }, kind);
}

std::string Layer::batch_norm_name() const { return std::holds_alternative<BatchNormLayer>(kind) ? name : name + ".batch_norm"; }

const Parameter& Network::parameter(std::string_view parameter_name) const {
  for (const Parameter& parameter : parameters)
    if (parameter.name == parameter_name) return parameter;
  throw Error(ExitCode::internal, fmt::format("network `{}` has no parameter `{}`", name, parameter_name));
}

int64_t Network::parameter_elements() const {
  int64_t sum = 0;
  for (const Parameter& parameter : parameters) sum += parameter.shape.elements();
  return sum;
}

int64_t Network::trained_elements() const {
  int64_t sum = 0;
  for (const Parameter& parameter : parameters) sum += parameter.trained == Trained::yes ? parameter.shape.elements() : 0;
  return sum;
}

Network parse_network(std::string text, std::string file, int64_t classes) {
  const TextTable table = TextTable::parse(text, file);
  Network network;
  network.name = table.string_or("name", fs::path(file).stem());
  network.file = std::move(file);
  network.text = std::move(text);
  network.loss = table.choice_or("loss", losses[0], losses) == losses[1] ? Loss::binary_cross_entropy : Loss::softmax_cross_entropy;
  const std::vector<int64_t> input = table.integers("input", {1, largest_input});
  const std::string order = "input = [height, width, channels]";
  if (input.empty()) throw table.missing("input").help(order);
  if (input.size() != 3) throw table.error("input", fmt::format("`input` has {} numbers, but takes three", input.size())).help(order);
  network.h = input[0];
  network.w = input[1];
  network.c = input[2];
  network.input_line = table.line_of("input");
  network.classes = table.integer_or("classes", 0, {2, largest_size});
  if (classes > 0 && network.classes > 0) network.classes = classes;
  read_layers(table, network);
  table.refuse_unread();
  check_end(network);
  return network;
}

Network load_network(std::string_view name_or_path) {
  const fs::path path = find_text(shipped_networks, name_or_path);
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) throw Error(ErrorId::no_such_text, fmt::format("there is no model file `{}`", name_or_path));
  return parse_network(read_text(path), path.string());
}

std::vector<std::string> list_networks() { return names_of(shipped_networks); }

void check_fits(const Network& network, const DataSize& data) {
  const std::string taken = images_text(network.h, network.w, network.c), given = images_text(data.h, data.w, data.c);
  const std::string fact = fmt::format("data set `{}` has images of {} in {} classes", data.name, given, data.classes);
  if (taken != given)
    throw Error(ErrorId::network_and_data, fmt::format("network `{}` takes images of {} but gets {}", network.name, taken, given))
        .at(network.file, network.input_line)
        .note(fact)
        .help(fmt::format("set input = [{}, {}, {}] in the network's file, or choose another network", data.h, data.w, data.c));
  const int64_t classes = network.outputs == 1 ? 2 : network.outputs;
  if (classes == data.classes) return;
  Error problem =
      error_at(network, network.layers.back(), ErrorId::network_and_data,
               network.outputs == 1
                   ? fmt::format("gives one output, which tells 2 classes apart, but the data has {}", data.classes)
                   : fmt::format("gives {} outputs, one for each class, but the data has {} classes", network.outputs, data.classes));
  problem.note(fact);
  if (network.outputs == 1) throw problem.help("name the classes that count as yes in the recipe: positive = [\"...\"]");
  throw problem.help(fmt::format("end the network with linear = {}, or with linear = \"$classes\" and say `classes = {}` in its file",
                                 data.classes, data.classes));
}

Network fitted(const Network& network, const DataSize& data) {
  Network result = network;
  if (network.classes > 0 && network.classes != data.classes) result = parse_network(network.text, network.file, data.classes);
  check_fits(result, data);
  return result;
}

}  // namespace fovea::model
