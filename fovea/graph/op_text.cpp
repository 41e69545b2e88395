#include "fovea/graph/op_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <numeric>

namespace fovea::graph {
namespace {

// Adds what a part of an operator has, in one order for all of them.
class Text {
 public:
  template <class Part>
  void add(const Part& part) {
    if constexpr (requires { part.forward; }) add(part.forward);
    if constexpr (requires { part.types; }) add_types(part.types);
    add_sizes(part);
    if constexpr (requires { part.shape.n; }) add(part.shape);
    if constexpr (requires { part.window; }) add_window(part.window);
    add_ways(part);
    if constexpr (std::is_same_v<Part, Reorder>) text_ += fmt::format(" {} {} to {}", part.shape.text(), part.from, part.to);
    if constexpr (std::is_same_v<Part, Update>) add_update(part);
  }
  std::string take() { return std::move(text_); }

 private:
  template <class Part>
  void add_sizes(const Part& part) {
    if constexpr (requires { part.n; }) number("n", part.n);
    if constexpr (requires { part.rows; }) number("rows", part.rows);
    if constexpr (requires { part.h; }) number("h", part.h);
    if constexpr (requires { part.w; }) number("w", part.w);
    if constexpr (
        requires { part.c; } && !requires { part.c(); })
      number("c", part.c);
    if constexpr (requires { part.k; }) number("k", part.k);
    if constexpr (requires { part.elements; }) add_elements(part.elements);
    if constexpr (requires { part.channels; }) text_ += fmt::format(" c{}", fmt::join(part.channels, "+"));
    if constexpr (requires { part.part; }) number("part", part.part);
    if constexpr (requires { part.stride; }) number("s", part.stride);
  }
  template <class Part>
  void add_ways(const Part& part) {
    if constexpr (requires { part.groups; }) number_if("g", part.groups, 1);
    if constexpr (requires { part.rounding; }) word_if("ceil", part.rounding == Rounding::ceil);
    if constexpr (requires { part.count_padding; }) word_if("count_padding", part.count_padding == CountPadding::yes);
    if constexpr (requires { part.activation; }) word_if(fovea::name_of(part.activation), true);
    if constexpr (requires { part.crop_padding; }) number_if("crop", part.crop_padding, 0);
    if constexpr (requires { part.mirror; }) word_if("mirror", part.mirror == Mirror::random);
    if constexpr (requires { part.order; }) word_if("shuffled", part.order == Order::shuffled);
    if constexpr (requires { part.class_weights; }) word_if("weighted", !part.class_weights.empty());
    if constexpr (requires { part.scaling; }) word_if("scaled", part.scaling == Scaling::dynamic);
    if constexpr (requires { part.into; }) word_if("add", part.into == Into::add);
    if constexpr (requires { part.into_scale; }) word_if("add_scale", part.into_scale == Into::add);
    if constexpr (requires { part.into_shift; }) word_if("add_shift", part.into_shift == Into::add);
  }
  void add_update(const Update& update) {
    constexpr std::string_view rules[] = {"sgd", "adam", "adamw", "rmsprop"};
    word_if(rules[update.rule.index()], true);
    number("moments", moments_of(update.rule));
    number("tensors", std::ssize(update.parameters));
    int64_t elements = 0, copies = 0;
    for (const Update::Parameter& parameter : update.parameters) {
      elements += parameter.elements;
      if (parameter.working == Update::Working::copy) copies += parameter.elements;
    }
    number("elements", elements);
    number_if("copied", copies, 0);
    number_if("norms", std::ssize(update.running), 0);
    word_if("clip", update.clip_norm > 0);
    word_if("average", update.ema_decay > 0);
  }

  void add_types(const Types& types) {
    word_if(fovea::name_of(types.x), true);
    if (types.w != types.x || types.y != types.x) text_ += fmt::format("/{}/{}", fovea::name_of(types.w), fovea::name_of(types.y));
    word_if("tf32", types.products == Products::tf32);
  }
  void add_window(const Window& window) {
    text_ += fmt::format(" {}x{}", window.r, window.s);
    pair("s", window.stride_h, window.stride_w);
    if (window.pad_top == window.pad_bottom && window.pad_left == window.pad_right)
      pair("p", window.pad_top, window.pad_left);
    else
      text_ += fmt::format(" p{},{},{},{}", window.pad_top, window.pad_bottom, window.pad_left, window.pad_right);
    if (window.dilation_h * window.dilation_w != 1) pair("d", window.dilation_h, window.dilation_w);
  }
  void add_elements(int64_t elements) { number("elements", elements); }
  void add_elements(const std::vector<int64_t>& elements) {
    number("tensors", std::ssize(elements));
    number("elements", std::accumulate(elements.begin(), elements.end(), int64_t{0}));
  }

  void number(std::string_view name, int64_t value) { text_ += fmt::format(" {}{}", name, value); }
  void number_if(std::string_view name, int64_t value, int64_t usual) {
    if (value != usual) number(name, value);
  }
  void word_if(std::string_view word, bool said) {
    if (said) text_ += fmt::format(" {}", word);
  }
  void pair(std::string_view name, int64_t a, int64_t b) {
    if (a == b)
      number(name, a);
    else
      text_ += fmt::format(" {}{}x{}", name, a, b);
  }

  std::string text_;
};

}  // namespace

std::string text_of(const Op& op) {
  return std::visit(
      [](const auto& one) {
        Text text;
        text.add(one);
        return std::string(one.name) + text.take();
      },
      op);
}

}  // namespace fovea::graph
