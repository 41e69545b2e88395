#include "fovea/graph/op.h"

#include <fmt/format.h>

#include <numeric>

#include "fovea/base/error.h"

namespace fovea {
namespace {

void validate_window(const Window& window, int64_t h, int64_t w) {
  const auto refuse = [](std::string what) { throw Error(ExitCode::config, std::move(what)); };
  if (window.r < 1 || window.s < 1) refuse(fmt::format("the window is {} x {}, but each side must be at least 1", window.r, window.s));
  if (window.stride_h < 1 || window.stride_w < 1)
    refuse(fmt::format("the stride is {} x {}, but must be at least 1", window.stride_h, window.stride_w));
  if (window.dilation_h < 1 || window.dilation_w < 1)
    refuse(fmt::format("the dilation is {} x {}, but must be at least 1", window.dilation_h, window.dilation_w));
  if (window.pad_top < 0 || window.pad_bottom < 0 || window.pad_left < 0 || window.pad_right < 0) refuse("a padding is negative");
  const int64_t span_h = window.dilation_h * (window.r - 1) + 1, span_w = window.dilation_w * (window.s - 1) + 1;
  const int64_t padded_h = h + window.pad_top + window.pad_bottom, padded_w = w + window.pad_left + window.pad_right;
  if (span_h > padded_h || span_w > padded_w)
    refuse(fmt::format("a window that spans {} x {} does not fit into an input of {} x {} (padding included)", span_h, span_w, padded_h,
                       padded_w));
}

}  // namespace

std::string_view name_of(Activation activation) {
  constexpr std::array<std::string_view, 7> activations = {"relu", "sigmoid", "tanh", "leaky_relu", "gelu", "gelu_tanh", "silu"};
  return activations[static_cast<size_t>(activation)];
}

bool gradient_reads_input(Activation activation) {
  return activation == Activation::gelu || activation == Activation::gelu_tanh || activation == Activation::silu;
}

int64_t ConcatForward::c() const { return std::accumulate(channels.begin(), channels.end(), int64_t{0}); }
int64_t ConcatForward::first(int part) const { return std::accumulate(channels.begin(), channels.begin() + part, int64_t{0}); }

std::string_view name_of(const Op& op) {
  return std::visit([](const auto& o) { return std::decay_t<decltype(o)>::name; }, op);
}

int64_t macs_of(const Op& op) {
  return std::visit(
      [](const auto& o) -> int64_t {
        if constexpr (requires { o.shape.macs(); }) return o.shape.macs();
        if constexpr (requires { o.shape.weight(); }) return o.shape.n * o.shape.c * o.shape.k;
        return 0;
      },
      op);
}

int moments_of(const UpdateRule& rule) {
  if (const Sgd* sgd = std::get_if<Sgd>(&rule)) return sgd->momentum != 0 ? 1 : 0;
  if (const RmsProp* rms_prop = std::get_if<RmsProp>(&rule)) return rms_prop->momentum != 0 ? 2 : 1;
  return 2;
}

UpdatePlaces places_of(const Update& update) {
  const size_t count = update.parameters.size(), moments = static_cast<size_t>(moments_of(update.rule));
  UpdatePlaces places{};
  places.norm = 2 + count;
  places.batch = places.norm + (update.clip_norm > 0 ? 1 : 0);
  places.moment1 = count;
  places.moment2 = 2 * count;
  places.average = (1 + moments) * count;
  places.running = places.average + (update.ema_decay > 0 ? count : 0);
  places.working = places.running + 2 * update.running.size();
  places.loss_scale = places.working;
  for (const Update::Parameter& parameter : update.parameters) places.loss_scale += parameter.working == Update::Working::copy ? 1 : 0;
  return places;
}

void validate(const Conv2dShape& shape) {
  if (shape.groups < 1 || shape.c % shape.groups != 0 || shape.k % shape.groups != 0)
    throw Error(ExitCode::config, fmt::format("{} groups do not divide {} input and {} output channels", shape.groups, shape.c, shape.k));
  validate_window(shape.window, shape.h, shape.w);
}

void validate(const PoolShape& shape) {
  validate_window(shape.window, shape.h, shape.w);
  const Window& window = shape.window;
  if (window.pad_top >= window.r || window.pad_bottom >= window.r || window.pad_left >= window.s || window.pad_right >= window.s)
    throw Error(ExitCode::config, fmt::format("a pooling window of {} x {} is padded by as much as its size", window.r, window.s));
  if ((window.dilation_h > 1 || window.dilation_w > 1) && window.pad_top + window.pad_bottom + window.pad_left + window.pad_right > 0)
    throw Error(ExitCode::config, "a pooling window has both padding and dilation: it could lie wholly in the padding");
  if (window.r * window.s > 65536)
    throw Error(ExitCode::config, fmt::format("a pooling window of {} x {} has more than 65,536 places", window.r, window.s));
}

void validate(const ShortcutShape& shape) {
  if (shape.stride < 1) throw Error(ExitCode::config, fmt::format("the stride is {}, but must be at least 1", shape.stride));
  if (shape.k < shape.c || (shape.k - shape.c) % 2 != 0)
    throw Error(ExitCode::config,
                fmt::format("a shortcut from {} to {} channels: it can only add an even number of them", shape.c, shape.k));
}

}  // namespace fovea
