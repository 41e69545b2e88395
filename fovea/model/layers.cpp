// One function per kind of layer: add yours here and to `kinds`.
#include "fovea/model/layers.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include "fovea/model/nearest.h"

namespace fovea::model {
namespace {

constexpr IntegerRange positive = {1, largest_size}, not_negative = {0, largest_size};
constexpr int64_t largest_tensor = int64_t{1} << 40;                       // elements of a parameter, or of an activation of one image
constexpr double largest_work = 0x1p48;                                    // multiply-accumulates of one layer and one image
const std::vector<std::string> activations = {"relu", "sigmoid", "tanh"};  // in the order of the enumeration

class LayerReader {
 public:
  LayerReader(const TextTable& text, Network& network)
      : network_(network), init_(read_init(text, "init", {})), bias_init_(read_init(text, "bias_init", {Initializer::zeros, 0})) {
    layer_.out = {network.h, network.w, network.c};
    for (const TextTable& table : text.tables("layers")) read(table);
    if (network.layers.empty()) throw text.error("layers", "the network has no layers");
  }

 private:
  using Read = void (LayerReader::*)();
  struct Kind {
    std::string_view key, default_name;
    Read read;
  };
  static constexpr size_t kind_count = 7;
  static const std::array<Kind, kind_count> kinds;

  void read(const TextTable& table) {
    table_ = &table;
    const Kind& kind = kind_of(table);
    const int count = ++counts_[kind.default_name];
    layer_ = {table.string_or("name", fmt::format("{}{}", kind.default_name, count)), {}, layer_.out, {}, table.line()};
    check_name();
    try {
      (this->*kind.read)();
      check_size("output", layer_.out.elements());
    } catch (const Misfit& misfit) {
      throw error(misfit.what).help(misfit.help);
    }
    network_.layers.push_back(layer_);
  }

  // What does not fit, to be said of this layer.
  struct Misfit {
    std::string what, help;
  };

  // `activation` stands for a layer of its own only where no other kind is named.
  static const Kind& kind_of(const TextTable& table) {
    const Kind* found = nullptr;
    for (const Kind& kind : kinds) {
      if (!table.has(kind.key) || (found && kind.key == "activation")) continue;
      if (found)
        throw table.error(kind.key, fmt::format("a layer is of one kind, but this one has both `{}` and `{}`", found->key, kind.key));
      found = &kind;
    }
    if (found) return *found;
    const std::vector<std::string> keys = table.keys();
    if (keys.empty()) throw table.error("", "a layer is empty");
    std::vector<std::string> known;
    for (const Kind& kind : kinds) known.emplace_back(kind.key);
    throw table.error(keys[0], fmt::format("a layer needs a kind, but `{}` is none", keys[0])).help(suggestion(keys[0], "kinds", known));
  }

  void check_name() const {
    const std::string& name = layer_.name;
    constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    if (name.empty() || name.find_first_not_of(allowed) != std::string::npos)
      throw table_->error("name", fmt::format("the layer name `{}` may have only letters, digits, `_` and `-`", name));
    for (const Layer& other : network_.layers)
      if (other.name == name)
        throw table_->error("name", fmt::format("two layers are named `{}`", name))
            .note(fmt::format("the other one is in line {}", other.line));
  }

  Error error(const std::string& what) const {
    Error problem(ExitCode::config, fmt::format("layer `{}` {}", layer_.name, what));
    problem.at(table_->file(), table_->line());
    return problem;
  }

  std::string input_text() const {
    const Shape& in = layer_.in;
    return in.rank() == 3 ? fmt::format("{} x {} x {}", in[0], in[1], in[2]) : fmt::format("{} values", in[0]);
  }

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
      throw Misfit{fmt::format("is too large: its {} would have {} elements", what, elements), "make its sizes smaller"};
  }
  static void check_work(double macs) {
    if (macs > largest_work)
      throw Misfit{fmt::format("is too large: it would need {:.1e} multiply-accumulates for one image", macs), "make its sizes smaller"};
  }

  // One number for both axes, or one for each.
  std::array<int64_t, 2> pair(std::string_view key, std::array<int64_t, 2> otherwise, IntegerRange range) const {
    const std::vector<int64_t> list = table_->integers(key, range);
    if (list.size() > 2) throw table_->error(key, fmt::format("`{}` has {} numbers, but takes one, or [height, width]", key, list.size()));
    if (list.empty()) return otherwise;
    return {list[0], list.back()};
  }

  Window read_window(std::string_view size_key, std::optional<std::array<int64_t, 2>> stride) const {
    if (!table_->has(size_key)) throw table_->missing(size_key);
    const auto [r, s] = pair(size_key, {1, 1}, positive);
    const auto [stride_h, stride_w] = pair("stride", stride.value_or(std::array{r, s}), positive);
    const auto [dilation_h, dilation_w] = pair("dilation", {1, 1}, positive);
    Window window = {r, s, stride_h, stride_w, 0, 0, 0, 0, dilation_h, dilation_w};
    read_padding(window);
    return window;
  }

  void read_padding(Window& window) const {
    if (table_->is_string("padding")) {
      const std::array<std::string, 2> modes = {"same", "valid"};
      if (table_->choice("padding", modes) == "valid") return;
      std::tie(window.pad_top, window.pad_bottom) = pad_same(layer_.in[0], window.dilation_h * (window.r - 1) + 1, window.stride_h);
      std::tie(window.pad_left, window.pad_right) = pad_same(layer_.in[1], window.dilation_w * (window.s - 1) + 1, window.stride_w);
      return;
    }
    const std::vector<int64_t> list = table_->integers("padding", not_negative);
    if (list.empty()) return;
    if (list.size() != 1 && list.size() != 2 && list.size() != 4)
      throw table_->error(
          "padding", fmt::format("`padding` has {} numbers, but takes one, [height, width] or [top, bottom, left, right]", list.size()));
    const bool each_side = list.size() == 4;
    window.pad_top = list[0];
    window.pad_bottom = list[each_side ? 1 : 0];
    window.pad_left = each_side ? list[2] : list.back();
    window.pad_right = list.back();
  }

  // ceil(size / stride) outputs; the odd one of the padding goes to the end.
  static std::pair<int64_t, int64_t> pad_same(int64_t size, int64_t span, int64_t stride) {
    const int64_t outputs = (size - 1) / stride + 1, total = std::max<int64_t>((outputs - 1) * stride + span - size, 0);
    return {total / 2, total - total / 2};
  }

  static Activation read_activation(const TextTable& table) {
    const std::string name = table.string("activation");
    const auto place = std::find(activations.begin(), activations.end(), name);
    if (place != activations.end()) return static_cast<Activation>(place - activations.begin());
    Error problem = table.error("activation", fmt::format("`activation` is \"{}\", which is not known", name));
    if (name == "softmax") throw problem.help("leave it out: the loss works on the values before the softmax");
    throw problem.help(suggestion(name, "activations", activations));
  }
  std::optional<Activation> read_optional_activation() const {
    if (!table_->has("activation")) return table_->string_or("activation", ""), std::nullopt;
    return read_activation(*table_);
  }
  Bias read_bias() const { return table_->boolean_or("bias", true) ? Bias::yes : Bias::no; }

  // "kaiming_uniform", or { normal = 0.01 }.
  static Init read_init(const TextTable& table, std::string_view key, Init otherwise) {
    constexpr NumberRange scale = {0, 1e6};
    if (table.is_table(key)) {
      const TextTable inner = table.table(key);
      const std::string_view name = inner.has("uniform") ? "uniform" : "normal";
      return {initializer_of(name), inner.number(name, scale)};
    }
    std::vector<std::string> names = initializer_names();
    std::erase_if(names, [](const std::string& name) { return name == "uniform" || name == "normal"; });
    const std::string name = table.choice_or(key, std::string(name_of(otherwise.initializer)), names);
    return table.has(key) ? Init{initializer_of(name), 0} : otherwise;
  }

  struct Fan {
    int64_t in, out;
  };
  void add_parameters(const Shape& weight, Fan fan, Bias bias) {
    check_size("weight", weight.elements());
    const Init init = read_init(*table_, "init", init_), bias_init = read_init(*table_, "bias_init", bias_init_);
    const auto add = [&](std::string_view what, const Shape& shape, Init from) {
      network_.parameters.push_back(
          {fmt::format("{}.{}", layer_.name, what), shape, from, fan.in, fan.out, static_cast<uint32_t>(network_.parameters.size())});
    };
    add("weight", weight, init);
    if (bias == Bias::yes) add("bias", {weight[0]}, bias_init);
  }

  void read_conv2d() {
    need_image();
    const Shape& in = layer_.in;
    Conv2dShape shape = {1, in[0], in[1], in[2], table_->integer("conv2d", positive), {}, 1};
    shape.window = read_window("kernel", {{1, 1}});
    shape.groups = table_->integer_or("groups", 1, positive);
    const Shape filter = checked([&] {
      validate(shape);
      layer_.out = {shape.p(), shape.q(), shape.k};
      return shape.filter();
    });
    check_work(static_cast<double>(filter.elements()) * static_cast<double>(shape.p()) * static_cast<double>(shape.q()));
    const Conv2dLayer layer = {shape, read_bias(), read_optional_activation()};
    const int64_t places = shape.window.r * shape.window.s;
    add_parameters(filter, {places * (shape.c / shape.groups), places * (shape.k / shape.groups)}, layer.bias);
    layer_.kind = layer;
  }

  void read_linear() {
    need_values();
    const LinearShape shape = {1, layer_.in[0], table_->integer("linear", positive)};
    const Shape weight = checked([&] { return shape.weight(); });
    const LinearLayer layer = {shape, read_bias(), read_optional_activation()};
    add_parameters(weight, {shape.c, shape.k}, layer.bias);
    layer_.kind = layer;
    layer_.out = {shape.k};
  }

  PoolShape read_pool(std::string_view key) {
    need_image();
    const Shape& in = layer_.in;
    const PoolShape shape = {1, in[0], in[1], in[2], read_window(key, std::nullopt)};
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

  void read_activation_layer() {
    layer_.kind = ActivationLayer{read_activation(*table_)};
    layer_.out = layer_.in;
  }

  void read_dropout() {
    const float rate = static_cast<float>(table_->number("dropout", {0, 1}));
    if (rate == 1) throw table_->error("dropout", "`dropout` is 1, but must be below 1: it would drop everything");
    layer_.kind = DropoutLayer{rate, dropouts_++};
    layer_.out = layer_.in;
  }

  void read_flatten() {
    if (!table_->boolean("flatten")) throw table_->error("flatten", "`flatten` is false: leave the layer out");
    if (layer_.in.rank() == 1) throw Misfit{fmt::format("gets {}, which are flat already", input_text()), "leave it out"};
    layer_.kind = FlattenLayer{};
    layer_.out = {layer_.in.elements()};
  }

  Network& network_;
  Init init_, bias_init_;
  const TextTable* table_ = nullptr;
  Layer layer_;
  std::map<std::string_view, int> counts_;  // by default name
  uint32_t dropouts_ = 0;
};

const std::array<LayerReader::Kind, LayerReader::kind_count> LayerReader::kinds = {{
    {"conv2d", "conv", &LayerReader::read_conv2d},
    {"linear", "linear", &LayerReader::read_linear},
    {"max_pool", "pool", &LayerReader::read_max_pool},
    {"avg_pool", "pool", &LayerReader::read_avg_pool},
    {"dropout", "dropout", &LayerReader::read_dropout},
    {"flatten", "flatten", &LayerReader::read_flatten},
    {"activation", "activation", &LayerReader::read_activation_layer},
}};

}  // namespace

void read_layers(const TextTable& text, Network& network) { LayerReader(text, network); }

}  // namespace fovea::model
