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

// `name` is how a network's text says the kind.
struct Conv2dLayer {
  static constexpr std::string_view name = "conv2d";
  Conv2dShape shape;  // n = 1
  Bias bias = Bias::yes;
};
struct LinearLayer {
  static constexpr std::string_view name = "linear";
  LinearShape shape;  // n = 1
  Bias bias = Bias::yes;
};
struct MaxPoolLayer {
  static constexpr std::string_view name = "max_pool";
  PoolShape shape;  // n = 1
};
struct AvgPoolLayer {
  static constexpr std::string_view name = "avg_pool";
  PoolShape shape;  // n = 1
  CountPadding count_padding = CountPadding::no;
};
struct GlobalAvgPoolLayer {
  static constexpr std::string_view name = "global_avg_pool";
  PoolShape shape;  // n = 1, the window is the image
};
struct DropoutLayer {
  static constexpr std::string_view name = "dropout";
  float rate = 0;
  uint32_t number = 0;  // among the dropout layers: its stream of random numbers
};
struct FlattenLayer {
  static constexpr std::string_view name = "flatten";
};
struct AddLayer {
  static constexpr std::string_view name = "add";
};
struct ConcatLayer {
  static constexpr std::string_view name = "concat";
};
struct ShortcutLayer {
  static constexpr std::string_view name = "shortcut";
  ShortcutShape shape;  // n = 1
  bool is_identity() const { return shape.stride == 1 && shape.k == shape.c; }
};
struct BatchNormLayer {  // nothing but what may also follow other layers
  static constexpr std::string_view name = "batch_norm";
};
struct ActivationLayer {  // likewise
  static constexpr std::string_view name = "activation";
};

using LayerKind = std::variant<Conv2dLayer, LinearLayer, MaxPoolLayer, AvgPoolLayer, GlobalAvgPoolLayer, DropoutLayer, FlattenLayer,
                               AddLayer, ConcatLayer, ShortcutLayer, BatchNormLayer, ActivationLayer>;

struct BatchNorm {
  float epsilon = 1e-5f;
  float momentum = 0.1f;  // share of the newest batch in the running statistics
  Init scale_init = {Initializer::ones, 0};
};

inline constexpr int image_input = -1;

struct Layer {
  std::string name;  // "conv1", in a block "layer1.0.conv1"
  LayerKind kind;
  std::vector<int> from;  // places in Network::layers of those whose outputs it takes; image_input: the image
  Shape in, out;          // of one image: (h, w, c) or (c); `in` is that of the first input
  int line = 0;           // in the text

  // After the kind's own operator, in this order.
  std::optional<BatchNorm> batch_norm;
  std::optional<Activation> activation;
  float slope = 0;  // of leaky_relu

  std::string batch_norm_name() const;  // of its parameters: "conv1.batch_norm" has "conv1.batch_norm.weight"
};
std::string_view name_of(const LayerKind& kind);

enum class Trained : uint8_t { no, yes };

struct Parameter {
  std::string name;  // "conv1.weight"
  Shape shape;       // (k, r, s, c / groups), (k, c) or (k)
  Init init;
  int64_t fan_in = 1, fan_out = 1;
  uint32_t number = 0;             // place in Network::parameters: its stream of random numbers
  Trained trained = Trained::yes;  // no: a running statistic of a batch norm, which follows the batches
};

enum class Loss : uint8_t { softmax_cross_entropy, binary_cross_entropy };
std::string_view name_of(Loss loss);

struct Network {
  std::string name;
  std::string file, text;       // where it was read, and its text as it stood there
  int64_t h = 1, w = 1, c = 1;  // of an input image
  int input_line = 0;           // in the text
  int64_t classes = 0;          // what `$classes` stands for; 0: the text does not say `classes`
  int64_t outputs = 1;          // logits: one for each class, or a single one for two classes
  Loss loss = Loss::softmax_cross_entropy;
  std::vector<Layer> layers;
  std::vector<Parameter> parameters;  // in the order of the layers, a weight before its bias

  const Parameter& parameter(std::string_view name) const;  // throws Error (internal) if there is none
  int64_t parameter_elements() const;                       // running statistics included
  int64_t trained_elements() const;
};

// `file` is only named in errors. `classes`: instead of those that the text says, if it says any; 0: as it says.
// Throws Error (config) with file and line on whatever is not a network that can be trained.
Network parse_network(std::string text, std::string file, int64_t classes = 0);

// As find_text finds it. Throws Error (config).
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
// The network with as many classes as the data, if its text says `classes`; throws as check_fits does.
Network fitted(const Network& network, const DataSize& data);

}  // namespace fovea::model
