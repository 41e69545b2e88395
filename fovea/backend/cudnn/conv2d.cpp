// Convolutions, each by an engine of cuDNN where it has one.
#include <fmt/format.h>

#include "fovea/backend/cudnn/backend.h"
#include "fovea/graph/precision.h"

namespace fovea::cudnn {
namespace {

constexpr int64_t most_elements = (int64_t{1} << 31) - 1;

std::string text_of(const Conv2dShape& shape) {
  const Window& window = shape.window;
  const auto pair = [](char letter, int64_t h, int64_t w) {
    return h == w ? fmt::format(" {}{}", letter, h) : fmt::format(" {}{}x{}", letter, h, w);
  };
  std::string text = fmt::format("n{} h{} w{} c{} k{} {}x{}", shape.n, shape.h, shape.w, shape.c, shape.k, window.r, window.s);
  text += pair('s', window.stride_h, window.stride_w);
  text += pair('p', window.pad_top, window.pad_left);
  if (window.dilation_h > 1 || window.dilation_w > 1) text += pair('d', window.dilation_h, window.dilation_w);
  if (shape.groups > 1) text += fmt::format(" g{}", shape.groups);
  return text;
}

}  // namespace

std::string precision_of(const Types& types) {
  if (types.x == DType::f32) return types.products == Products::tf32 ? "tf32" : "fp32";
  return std::string(name_of(types.x));
}

bool is_within_reach(const Conv2dShape& shape, const Types& types) {
  if (types.x != DType::f32 && !is_small_float(types.x)) return false;
  if (types.y != types.x || types.accumulator != DType::f32) return false;
  // With other padding behind the image than before it some engines of cuDNN 9.19 give wrong gradients.
  if (shape.window.pad_top != shape.window.pad_bottom || shape.window.pad_left != shape.window.pad_right) return false;
  for (const Shape& operand : {shape.x(), shape.filter(), shape.y()})
    if (operand.elements() > most_elements) return false;
  return true;
}

Problem Convolution::problem() const {
  static constexpr std::string_view passes[] = {Conv2dForward::name, Conv2dBackwardData::name, Conv2dBackwardFilter::name};
  static constexpr std::string_view tails[] = {"", " +bias"};
  const Operand x = {types.x, shape.x().elements()}, w = {types.w, shape.filter().elements()}, y = {types.y, shape.y().elements()};
  Problem problem{fmt::format("cudnn {} {} {}{}{}", passes[static_cast<size_t>(pass)], precision_of(types), text_of(shape),
                              tails[static_cast<size_t>(tail)], into == Into::add ? " add" : ""),
                  {}};
  if (pass == Pass::forward && tail == Tail::nothing) problem.operands = {x, w, y};
  if (pass == Pass::forward && tail != Tail::nothing) problem.operands = {x, w, {DType::f32, shape.k}, y};
  if (pass == Pass::backward_data) problem.operands = {y, w, x};
  if (pass == Pass::backward_filter) problem.operands = {x, y, w};
  return problem;
}

Chosen CudnnBackend::chosen(const Convolution& convolution, const Limits& limits) {
  if (!is_within_reach(convolution.shape, convolution.types)) return {};
  // Some engines of cuDNN 9.19 round the gradient to 16 bits before they add it, and the sum once more.
  if (convolution.pass == Convolution::Pass::backward_data && convolution.into == Into::add && is_small_float(convolution.types.x))
    return {};
  return chosen(convolution.problem(), limits, [&] { return graphs_->offer(convolution); });
}

KernelPtr CudnnBackend::make(const Conv2dForward& op, const Limits& limits) {
  const Chosen choice = chosen(Convolution(op), limits);
  return choice.engine ? make_kernel(choice) : CudaBackend::make(op, limits);
}
KernelPtr CudnnBackend::make(const Conv2dBackwardData& op, const Limits& limits) {
  const Chosen choice = chosen(Convolution(op), limits);
  return choice.engine ? make_kernel(choice) : CudaBackend::make(op, limits);
}
KernelPtr CudnnBackend::make(const Conv2dBackwardFilter& op, const Limits& limits) {
  const Chosen choice = chosen(Convolution(op), limits);
  return choice.engine ? make_kernel(choice) : CudaBackend::make(op, limits);
}

}  // namespace fovea::cudnn
