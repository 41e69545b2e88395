#include "fovea/model/layer_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "fovea/model/nearest.h"

namespace fovea::model {
namespace {

constexpr float default_slope = 0.01f;  // of leaky_relu

// One number for both axes, or one for each.
std::array<int64_t, 2> pair(const TextTable& table, std::string_view key, std::array<int64_t, 2> otherwise) {
  const std::vector<int64_t> list = table.integers(key, positive);
  if (list.size() > 2) throw table.error(key, fmt::format("`{}` has {} numbers, but takes one, or [height, width]", key, list.size()));
  if (list.empty()) return otherwise;
  return {list[0], list.back()};
}

// ceil(size / stride) outputs; the odd one of the padding goes to the end.
std::pair<int64_t, int64_t> pad_same(int64_t size, int64_t span, int64_t stride) {
  const int64_t outputs = (size - 1) / stride + 1, total = std::max<int64_t>((outputs - 1) * stride + span - size, 0);
  return {total / 2, total - total / 2};
}

void read_padding(const TextTable& table, const Shape& image, Window& window) {
  if (table.is_string("padding")) {
    const std::array<std::string, 2> modes = {"same", "valid"};
    if (table.choice("padding", modes) == "valid") return;
    std::tie(window.pad_top, window.pad_bottom) = pad_same(image[0], window.dilation_h * (window.r - 1) + 1, window.stride_h);
    std::tie(window.pad_left, window.pad_right) = pad_same(image[1], window.dilation_w * (window.s - 1) + 1, window.stride_w);
    return;
  }
  const std::vector<int64_t> list = table.integers("padding", not_negative);
  if (list.empty()) return;
  if (list.size() != 1 && list.size() != 2 && list.size() != 4)
    throw table.error("padding",
                      fmt::format("`padding` has {} numbers, but takes one, [height, width] or [top, bottom, left, right]", list.size()));
  const bool each_side = list.size() == 4;
  window.pad_top = list[0];
  window.pad_bottom = list[each_side ? 1 : 0];
  window.pad_left = each_side ? list[2] : list.back();
  window.pad_right = list.back();
}

std::vector<std::string> activation_names() {
  std::vector<std::string> names;
  for (int i = 0; i <= static_cast<int>(Activation::silu); ++i) names.emplace_back(name_of(static_cast<Activation>(i)));
  return names;
}

Init constant(Initializer initializer) { return {initializer, 0}; }

}  // namespace

Window read_window(const TextTable& table, std::string_view size_key, const Shape& image, std::optional<int64_t> stride) {
  if (!table.has(size_key)) throw table.missing(size_key);
  const auto [r, s] = pair(table, size_key, {1, 1});
  const auto [stride_h, stride_w] = pair(table, "stride", stride ? std::array{*stride, *stride} : std::array{r, s});
  const auto [dilation_h, dilation_w] = pair(table, "dilation", {1, 1});
  Window window = {r, s, stride_h, stride_w, 0, 0, 0, 0, dilation_h, dilation_w};
  read_padding(table, image, window);
  return window;
}

Rounding read_rounding(const TextTable& table) {
  const std::array<std::string, 2> modes = {"floor", "ceil"};
  return table.choice_or("rounding", modes[0], modes) == modes[0] ? Rounding::floor : Rounding::ceil;
}

Init read_init(const TextTable& table, std::string_view key, Init otherwise) {
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

Activated read_activation(const TextTable& table) {
  const std::string name = table.string_or("activation", "");
  if (!table.has("activation")) return {};
  const std::vector<std::string> names = activation_names();
  const auto place = std::find(names.begin(), names.end(), name);
  if (place == names.end()) {
    Error problem = table.error("activation", fmt::format("`activation` is \"{}\", which is not known", name), ErrorId::unknown_name);
    if (name == "softmax") throw problem.help("leave it out: the loss works on the values before the softmax");
    throw problem.help(suggestion(name, "activations", names));
  }
  const Activation activation = static_cast<Activation>(place - names.begin());
  if (activation == Activation::leaky_relu) return {activation, static_cast<float>(table.number_or("slope", default_slope, {0, 1e6}))};
  if (table.has("slope")) throw table.error("slope", fmt::format("`slope` is of leaky_relu alone, but the activation is {}", name));
  return {activation, 0};
}

BatchNorm read_batch_norm(const TextTable& table, const BatchNorm& otherwise) {
  const std::array<std::string, 2> scales = {"ones", "zeros"};
  BatchNorm result;
  result.epsilon = static_cast<float>(table.number_or("epsilon", otherwise.epsilon, {1e-30, 1e6}));
  result.momentum = static_cast<float>(table.number_or("momentum", otherwise.momentum, {0, 1}));
  result.scale_init =
      constant(initializer_of(table.choice_or("scale_init", std::string(name_of(otherwise.scale_init.initializer)), scales)));
  return result;
}

std::optional<BatchNorm> read_optional_batch_norm(const TextTable& table, const BatchNorm& otherwise) {
  if (table.is_table("batch_norm")) return read_batch_norm(table.table("batch_norm"), otherwise);
  return table.boolean_or("batch_norm", false) ? std::optional(otherwise) : std::nullopt;
}

}  // namespace fovea::model
