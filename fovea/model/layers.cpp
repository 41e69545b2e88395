// One function per kind of layer: add yours here and to `kinds`.
#include "fovea/model/layers.h"

#include <fmt/format.h>

#include <array>
#include <map>

#include "fovea/model/expansion.h"
#include "fovea/model/layer_values.h"

namespace fovea::model {
namespace {

constexpr int64_t largest_tensor = int64_t{1} << 40;  // elements of a parameter, or of an activation of one image
constexpr double largest_work = 0x1p48;               // multiply-accumulates of one layer and one image

std::string shape_text(const Shape& shape) {
  return shape.rank() == 3 ? fmt::format("{} x {} x {}", shape[0], shape[1], shape[2]) : fmt::format("{} values", shape[0]);
}

class LayerReader {
 public:
  LayerReader(const TextTable& text, Network& network)
      : network_(network),
        init_(read_init(text, "init", {})),
        bias_init_(read_init(text, "bias_init", {Initializer::zeros, 0})),
        batch_norm_(read_batch_norm(text.table("batch_norm"), {})) {
    std::array<KindName, kind_count> names;
    for (size_t i = 0; i < kind_count; ++i) names[i] = kinds[i].name;
    for (const PlacedLayer& layer : expand(text, names, network.classes)) read(layer);
    if (network.layers.empty()) throw text.error("layers", "the network has no layers", ErrorId::network_end);
  }

 private:
  using Read = void (LayerReader::*)();
  struct Kind {
    KindName name;
    Read read;
  };
  static constexpr size_t kind_count = 13;
  static const std::array<Kind, kind_count> kinds;

  void read(const PlacedLayer& placed) {
    table_ = &placed.table;
    layer_ = {};
    layer_.name = placed.name;
    layer_.from = placed.from;
    layer_.in = shape_of(placed.from[0]);
    layer_.line = placed.table.line();
    try {
      (this->*kinds[placed.kind].read)();
      check_size("output", layer_.out.elements());
    } catch (const Misfit& misfit) {
      throw table_->error("", fmt::format("layer `{}` {}", layer_.name, misfit.what), misfit.id).help(misfit.help);
    }
    network_.layers.push_back(layer_);
  }

  Shape shape_of(int place) const {
    return place == image_input ? Shape{network_.h, network_.w, network_.c} : network_.layers[static_cast<size_t>(place)].out;
  }
  std::string name_of_input(size_t i) const {
    const int place = layer_.from[i];
    return place == image_input ? "the image" : fmt::format("`{}`", network_.layers[static_cast<size_t>(place)].name);
  }

  // What does not fit, to be said of this layer.
  struct Misfit {
    std::string what, help;
    ErrorId id = ErrorId::unfit_layer;
  };

  std::string input_text() const { return shape_text(layer_.in); }

  void need_image() const {
    if (layer_.in.rank() != 3)
      throw Misfit{fmt::format("needs an image (height, width, channels) but gets {}", input_text()), "put it before the `flatten` layer"};
  }
  void need_values() const {
    if (layer_.in.rank() != 1)
      throw Misfit{fmt::format("needs values in a row but gets an image of {}", input_text()), "put `{ flatten = true },` in front of it"};
  }

  // Runs `check`, whose errors know sizes but not the layer.
  template <class Check>
  auto checked(Check check) const {
    try {
      return check();
    } catch (const Error& problem) {
      throw Misfit{fmt::format("cannot be built: {}", problem.message()), fmt::format("its input is {}", input_text())};
    }
  }

  static void check_size(std::string_view what, int64_t elements) {
    if (elements > largest_tensor)
      throw Misfit{fmt::format("is too large: its {} would have {} elements", what, elements), "make its sizes smaller",
                   ErrorId::too_large_layer};
  }
  static void check_work(double macs) {
    if (macs > largest_work)
      throw Misfit{fmt::format("is too large: it would need {:.1e} multiply-accumulates for one image", macs), "make its sizes smaller",
                   ErrorId::too_large_layer};
  }

  struct Fan {
    int64_t in, out;
  };
  void add_parameters(const Shape& weight, Fan fan, Bias bias) {
    check_size("weight", weight.elements());
    const Init init = read_init(*table_, "init", init_), bias_init = read_init(*table_, "bias_init", bias_init_);
    add_parameter(layer_.name + ".weight", weight, init, fan);
    if (bias == Bias::yes) add_parameter(layer_.name + ".bias", {weight[0]}, bias_init, fan);
  }
  void add_parameter(std::string name, const Shape& shape, Init init, Fan fan) {
    network_.parameters.push_back({std::move(name), shape, init, fan.in, fan.out, static_cast<uint32_t>(network_.parameters.size())});
  }

  // Keys of layers with weights: the bias goes without saying only where no batch norm follows, whose shift does the same.
  Bias read_bias() {
    layer_.batch_norm = read_optional_batch_norm(*table_, batch_norm_);
    return table_->boolean_or("bias", !layer_.batch_norm) ? Bias::yes : Bias::no;
  }
  void read_tail() {
    if (layer_.batch_norm) add_batch_norm();
    const Activated activated = read_activation(*table_);
    layer_.activation = activated.activation;
    layer_.slope = activated.slope;
  }
  void add_batch_norm() {
    const std::string name = layer_.batch_norm_name();
    const Shape channels = {layer_.out[layer_.out.rank() - 1]};
    const Init zeros = {Initializer::zeros, 0}, ones = {Initializer::ones, 0};
    add_parameter(name + ".weight", channels, layer_.batch_norm->scale_init, {1, 1});
    add_parameter(name + ".bias", channels, zeros, {1, 1});
    add_parameter(name + ".running_mean", channels, zeros, {1, 1});
    network_.parameters.back().trained = Trained::no;
    add_parameter(name + ".running_variance", channels, ones, {1, 1});
    network_.parameters.back().trained = Trained::no;
  }

  void read_conv2d() {
    const int64_t outputs = table_->integer("conv2d", positive);
    read_convolution(outputs, table_->integer_or("groups", 1, positive));
  }
  void read_depthwise_conv2d() {
    const int64_t multiplier = table_->integer("depthwise_conv2d", {1, 65536});
    need_image();
    read_convolution(layer_.in[2] * multiplier, layer_.in[2]);
  }
  void read_convolution(int64_t outputs, int64_t groups) {
    need_image();
    const Shape& in = layer_.in;
    Conv2dShape shape = {1, in[0], in[1], in[2], outputs, {}, groups};
    shape.window = read_window(*table_, "kernel", in, 1);
    const Shape filter = checked([&] {
      validate(shape);
      layer_.out = {shape.p(), shape.q(), shape.k};
      return shape.filter();
    });
    check_work(static_cast<double>(filter.elements()) * static_cast<double>(shape.p()) * static_cast<double>(shape.q()));
    const Conv2dLayer layer = {shape, read_bias()};
    const int64_t places = shape.window.r * shape.window.s;
    add_parameters(filter, {places * (shape.c / shape.groups), places * (shape.k / shape.groups)}, layer.bias);
    layer_.kind = layer;
    read_tail();
  }

  void read_linear() {
    need_values();
    const LinearShape shape = {1, layer_.in[0], table_->integer("linear", positive)};
    const Shape weight = checked([&] { return shape.weight(); });
    layer_.out = {shape.k};
    const LinearLayer layer = {shape, read_bias()};
    add_parameters(weight, {shape.c, shape.k}, layer.bias);
    layer_.kind = layer;
    read_tail();
  }

  PoolShape read_pool(std::string_view key) {
    need_image();
    const Shape& in = layer_.in;
    const PoolShape shape = {1, in[0], in[1], in[2], read_window(*table_, key, in, std::nullopt), read_rounding(*table_)};
    checked([&] {
      validate(shape);
      layer_.out = {shape.p(), shape.q(), shape.c};
    });
    return shape;
  }
  void read_max_pool() { layer_.kind = MaxPoolLayer{read_pool("max_pool")}; }
  void read_avg_pool() {
    const PoolShape shape = read_pool("avg_pool");
    layer_.kind = AvgPoolLayer{shape, table_->boolean_or("count_padding", false) ? CountPadding::yes : CountPadding::no};
  }
  void read_global_avg_pool() {
    need_true("global_avg_pool");
    need_image();
    const Shape& in = layer_.in;
    const PoolShape shape = {1, in[0], in[1], in[2], {in[0], in[1]}};
    checked([&] { validate(shape); });
    layer_.kind = GlobalAvgPoolLayer{shape};
    layer_.out = {in[2]};
  }

  void read_batch_norm_layer() {
    layer_.batch_norm = read_optional_batch_norm(*table_, batch_norm_);
    if (!layer_.batch_norm) throw table_->error("batch_norm", "`batch_norm` is false: leave the layer out");
    layer_.kind = BatchNormLayer{};
    layer_.out = layer_.in;
    read_tail();
  }
  void read_activation_layer() {
    layer_.kind = ActivationLayer{};
    layer_.out = layer_.in;
    read_tail();
  }

  void read_dropout() {
    const float rate = static_cast<float>(table_->number("dropout", {0, 1}));
    if (rate == 1) throw table_->error("dropout", "`dropout` is 1, but must be below 1: it would drop everything");
    layer_.kind = DropoutLayer{rate, dropouts_++};
    layer_.out = layer_.in;
  }

  void read_flatten() {
    need_true("flatten");
    if (layer_.in.rank() == 1) throw Misfit{fmt::format("gets {}, which are flat already", input_text()), "leave it out"};
    layer_.kind = FlattenLayer{};
    layer_.out = {layer_.in.elements()};
  }

  void need_true(std::string_view key) const {
    if (!table_->boolean(key)) throw table_->error(key, fmt::format("`{}` is false: leave the layer out", key));
  }

  std::string inputs_text() const {
    std::string text;
    for (size_t i = 0; i < layer_.from.size(); ++i)
      text += fmt::format("{}{} of {}", i > 0 ? " and " : "", shape_text(shape_of(layer_.from[i])), name_of_input(i));
    return text;
  }
  void read_add() {
    if (shape_of(layer_.from[1]) != layer_.in)
      throw Misfit{fmt::format("adds {}, which differ in size", inputs_text()),
                   "give both the same height, width and channels: a conv2d or a shortcut on one of them changes its own"};
    layer_.kind = AddLayer{};
    layer_.out = layer_.in;
    read_tail();
  }
  void read_concat() {
    const auto same_places = [](const Shape& a, const Shape& b) {
      return a.rank() == b.rank() && (a.rank() == 1 || (a[0] == b[0] && a[1] == b[1]));
    };
    int64_t channels = 0;
    for (const int place : layer_.from) {
      const Shape part = shape_of(place);
      if (!same_places(part, layer_.in))
        throw Misfit{fmt::format("puts {} side by side, which differ in more than their channels", inputs_text()),
                     "give all the same height and width"};
      channels += part[part.rank() - 1];
    }
    checked([&] { layer_.out = layer_.in.rank() == 1 ? Shape{channels} : Shape{layer_.in[0], layer_.in[1], channels}; });
    layer_.kind = ConcatLayer{};
  }
  void read_shortcut() {
    need_image();
    const Shape& in = layer_.in;
    const ShortcutShape shape = {1, in[0], in[1], in[2], table_->integer("shortcut", positive), table_->integer_or("stride", 1, positive)};
    checked([&] { validate(shape); });
    layer_.kind = ShortcutLayer{shape};
    layer_.out = {shape.p(), shape.q(), shape.k};
  }

  Network& network_;
  Init init_, bias_init_;
  BatchNorm batch_norm_;
  const TextTable* table_ = nullptr;
  Layer layer_;
  uint32_t dropouts_ = 0;
};

// The last two are also keys of other kinds, and give way to them.
const std::array<LayerReader::Kind, LayerReader::kind_count> LayerReader::kinds = {{
    {{"conv2d", "conv"}, &LayerReader::read_conv2d},
    {{"depthwise_conv2d", "conv"}, &LayerReader::read_depthwise_conv2d},
    {{"linear", "linear"}, &LayerReader::read_linear},
    {{"max_pool", "pool"}, &LayerReader::read_max_pool},
    {{"avg_pool", "pool"}, &LayerReader::read_avg_pool},
    {{"global_avg_pool", "pool"}, &LayerReader::read_global_avg_pool},
    {{"dropout", "dropout"}, &LayerReader::read_dropout},
    {{"flatten", "flatten"}, &LayerReader::read_flatten},
    {{"add", "add"}, &LayerReader::read_add},
    {{"concat", "concat"}, &LayerReader::read_concat},
    {{"shortcut", "shortcut"}, &LayerReader::read_shortcut},
    {{"batch_norm", "batch_norm"}, &LayerReader::read_batch_norm_layer},
    {{"activation", "activation"}, &LayerReader::read_activation_layer},
}};

}  // namespace

void read_layers(const TextTable& text, Network& network) { LayerReader(text, network); }

}  // namespace fovea::model
