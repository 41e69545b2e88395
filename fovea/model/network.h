// A network as its text in models/ gives it: layers in a row, checked shapes, and parameters.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "fovea/graph/op.h"
#include "fovea/model/init.h"

namespace fovea::model {

enum class Bias : uint8_t { no, yes };

struct Conv2dLayer {
  Conv2dShape shape;  // n = 1
  Bias bias = Bias::yes;
  std::optional<Activation> activation;
};
struct LinearLayer {
  LinearShape shape;  // n = 1
  Bias bias = Bias::yes;
  std::optional<Activation> activation;
};
struct MaxPoolLayer {
  PoolShape shape;  // n = 1
};
struct AvgPoolLayer {
  PoolShape shape;  // n = 1
  CountPadding count_padding = CountPadding::no;
};
struct ActivationLayer {
  Activation activation = Activation::relu;
};
struct DropoutLayer {
  float rate = 0;
  uint32_t number = 0;  // among the dropout layers: its stream of random numbers
};
struct FlattenLayer {};

using LayerKind = std::variant<Conv2dLayer, LinearLayer, MaxPoolLayer, AvgPoolLayer, ActivationLayer, DropoutLayer, FlattenLayer>;

struct Layer {
  std::string name;  // "conv1"
  LayerKind kind;
  Shape in, out;  // of one image: (h, w, c) or (c)
  int line = 0;   // in the text
};
std::string_view name_of(const LayerKind& kind);  // as the text says it: "conv2d"

struct Parameter {
  std::string name;  // "conv1.weight"
  Shape shape;       // (k, r, s, c / groups), (k, c) or (k)
  Init init;
  int64_t fan_in = 1, fan_out = 1;
  uint32_t number = 0;  // place in Network::parameters: its stream of random numbers
};

enum class Loss : uint8_t { softmax_cross_entropy, binary_cross_entropy };
std::string_view name_of(Loss loss);

struct Network {
  std::string name;
  std::string file, text;       // where it was read, and its text as it stood there
  int64_t h = 1, w = 1, c = 1;  // of an input image
  int input_line = 0;           // in the text
  int64_t outputs = 1;          // logits: one for each class, or a single one for two classes
  Loss loss = Loss::softmax_cross_entropy;
  std::vector<Layer> layers;
  std::vector<Parameter> parameters;  // in the order of the layers, a weight before its bias

  const Parameter& parameter(std::string_view name) const;  // throws Error (internal) if there is none
  int64_t parameter_elements() const;
};

// `file` is only named in errors. Throws Error (config) with file and line on whatever is not a network that can be trained.
Network parse_network(std::string text, std::string file);

// A path if it ends in .toml or has a slash, else NAME.toml in ./models, <program>/../models or <program>/../share/fovea/models.
Network load_network(std::string_view name_or_path);
std::vector<std::string> list_networks();  // names that load_network knows, sorted

// A data set as a network sees it.
struct DataSize {
  std::string name;  // as messages show it: "mnist"
  int64_t h = 1, w = 1, c = 1;
  int64_t classes = 2;
};
// Throws Error (config) where the network takes other images or gives another number of outputs.
void check_fits(const Network& network, const DataSize& data);

}  // namespace fovea::model
