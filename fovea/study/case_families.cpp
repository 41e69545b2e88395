// The cases of one shape, forward and backward, overwriting and adding.
#include "fovea/study/case_families.h"

#include <fmt/format.h>

#include <bit>

namespace fovea::study {
namespace {

std::string text_of(const Window& window) {
  std::string text = fmt::format("{}x{}", window.r, window.s);
  if (window.stride_h != 1 || window.stride_w != 1) text += fmt::format(" stride {}x{}", window.stride_h, window.stride_w);
  if (window.pad_top + window.pad_bottom + window.pad_left + window.pad_right > 0)
    text += fmt::format(" pad {},{},{},{}", window.pad_top, window.pad_bottom, window.pad_left, window.pad_right);
  if (window.dilation_h != 1 || window.dilation_w != 1) text += fmt::format(" dilation {}x{}", window.dilation_h, window.dilation_w);
  return text;
}

void add(std::vector<OpCase>& cases, const Op& op, const std::string& text, Exactness exactness) {
  OpCase added;
  added.name = fmt::format("{} {}", name_of(op), text);
  added.op = op;
  added.exactness = exactness;
  cases.push_back(std::move(added));
}

void add_both(std::vector<OpCase>& cases, const Op& op, const std::string& text, Exactness exactness) {
  add(cases, with_into(op, Into::overwrite), text, exactness);
  add(cases, with_into(op, Into::add), text + " add", exactness);
}

std::string with_prefix(const std::string& prefix, std::string text) { return prefix.empty() ? text : prefix + " " + text; }

}  // namespace

std::string text_of(const Conv2dShape& shape) {
  std::string text = fmt::format("{}x{}x{}x{} k{} {}", shape.n, shape.h, shape.w, shape.c, shape.k, text_of(shape.window));
  if (shape.groups != 1) text += fmt::format(" groups {}", shape.groups);
  return text;
}

std::string text_of(const PoolShape& shape) {
  return fmt::format("{}x{}x{}x{} {}{}", shape.n, shape.h, shape.w, shape.c, text_of(shape.window),
                     shape.rounding == Rounding::ceil ? " ceil" : "");
}

void add_conv2d(std::vector<OpCase>& cases, const Conv2dShape& shape, const std::string& prefix) {
  const std::string text = with_prefix(prefix, text_of(shape));
  add(cases, Conv2dForward{.shape = shape, .types = {}}, text, Exactness::yes);
  add_both(cases, Conv2dBackwardData{.shape = shape, .into = {}, .types = {}}, text, Exactness::yes);
  add_both(cases, Conv2dBackwardFilter{.shape = shape, .into = {}, .types = {}}, text, Exactness::yes);
}

void add_max_pool(std::vector<OpCase>& cases, const PoolShape& shape, const std::string& prefix) {
  const std::string text = with_prefix(prefix, text_of(shape));
  add(cases, MaxPoolForward{.shape = shape, .types = {}}, text, Exactness::yes);
  add_both(cases, MaxPoolBackward{.shape = shape, .into = {}, .types = {}}, text, Exactness::yes);
}

void add_avg_pool(std::vector<OpCase>& cases, const PoolShape& shape, CountPadding count_padding, const std::string& prefix) {
  const Window& window = shape.window;
  const bool padded = window.pad_top + window.pad_bottom + window.pad_left + window.pad_right > 0;
  const bool whole = shape.rounding == Rounding::floor &&
                     (!padded || count_padding == CountPadding::yes);  // the divisor is the same everywhere; a power of two rounds nothing
  const Exactness exactness = whole && std::has_single_bit(static_cast<uint64_t>(window.r * window.s)) ? Exactness::yes : Exactness::no;
  const std::string text = with_prefix(prefix, text_of(shape)) + (count_padding == CountPadding::yes ? " counted" : "");
  add(cases, AvgPoolForward{.shape = shape, .count_padding = count_padding, .types = {}}, text, exactness);
  add_both(cases, AvgPoolBackward{.shape = shape, .count_padding = count_padding, .into = {}, .types = {}}, text, exactness);
}

void add_linear(std::vector<OpCase>& cases, const LinearShape& shape, const std::string& prefix) {
  const std::string text = with_prefix(prefix, fmt::format("{}x{} k{}", shape.n, shape.c, shape.k));
  add(cases, LinearForward{.shape = shape, .types = {}}, text, Exactness::yes);
  add_both(cases, LinearBackwardData{.shape = shape, .into = {}, .types = {}}, text, Exactness::yes);
  add_both(cases, LinearBackwardFilter{.shape = shape, .into = {}, .types = {}}, text, Exactness::yes);
}

void add_bias(std::vector<OpCase>& cases, int64_t rows, int64_t k) {
  const std::string text = fmt::format("{}x{}", rows, k);
  add(cases, BiasForward{.rows = rows, .k = k, .types = {}}, text, Exactness::yes);
  add_both(cases, BiasBackward{.rows = rows, .k = k, .into = {}, .types = {}}, text, Exactness::yes);
}

}  // namespace fovea::study
