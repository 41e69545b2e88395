// What this backend takes as one step: a convolution with its bias and rectifier; batch norms with what is around them; and in bf16 what
// the parent takes, between conversions, unless oneDNN is the faster for its convolution.
#include "fovea/backend/onednn/backend.h"
#include "fovea/backend/onednn/conv2d.h"
#include "fovea/backend/onednn/in_ranges.h"
#include "fovea/backend/onednn/widening.h"
#include "fovea/graph/precision.h"

namespace fovea::onednn {
namespace {

using graph::Node;

bool is_in_bf16(const Node& node) {
  const Types types = graph::types_of(node.op);
  return types.x == DType::bf16 || types.y == DType::bf16;
}

template <class One>
const One* reading(const Neighbours& around, size_t i, graph::ValueId id) {
  if (i >= around.nodes.size() || around.nodes[i].in[0] != id || around.uses[static_cast<size_t>(id)] != 1) return nullptr;
  return std::get_if<One>(&around.nodes[i].op);
}

// conv2d bias [relu]
std::optional<Claim> claim_forward(const Neighbours& around, const Limits& limits) {
  const std::span<const Node> nodes = around.nodes;
  const Conv2dForward* conv2d = std::get_if<Conv2dForward>(&nodes[0].op);
  if (conv2d == nullptr || !is_large(conv2d->shape, conv2d->types) || reading<BiasForward>(around, 1, nodes[0].out[0]) == nullptr)
    return std::nullopt;
  Claim claim{
      .nodes = 2, .name = "conv2d+bias", .kernel = nullptr, .in = {nodes[0].in[0], nodes[0].in[1], nodes[1].in[1]}, .out = nodes[1].out};
  Behind behind = {.with_bias = WithBias::yes};
  const ActivationForward* activation = reading<ActivationForward>(around, 2, nodes[1].out[0]);
  if (activation != nullptr && activation->activation == Activation::relu) {
    behind.rectify = eigen::Rectify::yes;
    claim.nodes = 3;
    claim.name += "+relu";
    claim.out = nodes[2].out;
  }
  claim.kernel = forward_kernel(*conv2d, behind, limits);
  if (!claim.kernel) return std::nullopt;
  return claim;
}

// relu_backward bias_backward, in bf16
std::optional<Claim> claim_rectified_bias(const Neighbours& around, const Limits& limits) {
  if (around.nodes.size() < 2 || !is_in_bf16(around.nodes[0])) return std::nullopt;
  const Node &rectifier = around.nodes[0], &sums = around.nodes[1];
  const ActivationBackward* relu = std::get_if<ActivationBackward>(&rectifier.op);
  const BiasBackward* bias = std::get_if<BiasBackward>(&sums.op);
  if (relu == nullptr || bias == nullptr || relu->activation != Activation::relu || relu->into != Into::overwrite ||
      sums.in[0] != rectifier.out[0])
    return std::nullopt;
  return Claim{.nodes = 2,
               .name = "relu_backward+bias_backward",
               .kernel = sums_in_ranges(*bias, limits, Mask::by_y),
               .in = {rectifier.in[0], rectifier.in[1]},
               .out = {rectifier.out[0], sums.out[0]}};
}

// Whether a claim of the parent's holds a convolution that oneDNN does better.
bool holds_large(std::span<const Node> nodes) {
  for (const Node& node : nodes) {
    const bool is = std::visit(
        []<class One>(const One& one) {
          if constexpr (std::is_same_v<One, Conv2dForward> || std::is_same_v<One, Conv2dBackwardData> ||
                        std::is_same_v<One, Conv2dBackwardFilter>)
            return is_large(one.shape, one.types);
          return false;
        },
        node.op);
    if (is) return true;
  }
  return false;
}

}  // namespace

std::optional<Claim> OnednnBackend::claim(const Neighbours& around, const Limits& limits) {
  if (std::optional<Claim> forward = claim_forward(around, limits)) return forward;
  const bool bf16 = is_in_bf16(around.nodes[0]);
  std::optional<Claim> claim = bf16 ? claim_between_conversions(around, limits) : OpenmpBackend::claim(around, limits);
  if (claim && !holds_large(around.nodes.first(claim->nodes))) return claim;
  return claim_rectified_bias(around, limits);
}

}  // namespace fovea::onednn
