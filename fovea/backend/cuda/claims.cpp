// Which runs of nodes this backend takes as one step: a product with its bias, its activation and the pooling behind them, the gradients of
// these, what belongs to a batch norm, and a loss with its score and gradient.
#include "fovea/backend/cuda/claims.h"

#include <algorithm>

#include "fovea/backend/cuda/backend.h"
#include "fovea/backend/cuda/neighbours.h"
#include "fovea/backend/cuda/pool_cells.h"

namespace fovea::cuda {
namespace {

// product bias [activation]
template <class Op>
std::optional<Claim> product_with_bias(const Neighbours& around, KernelPtr (*make)(const Op&, std::optional<Activation>),
                                       std::string_view name) {
  const Op* product = at<Op>(around, 0);
  const BiasForward* bias = at<BiasForward>(around, 1);
  if (product == nullptr || bias == nullptr) return std::nullopt;
  const Node &first = around.nodes[0], &second = around.nodes[1];
  if (second.in[0] != first.out[0] || !is_read_once(around, first.out[0])) return std::nullopt;
  Claim claim{.nodes = 2,
              .name = std::string(name) + "+bias",
              .kernel = nullptr,
              .in = {first.in[0], first.in[1], second.in[1]},
              .out = {second.out[0]}};
  std::optional<Activation> activation;
  const ActivationForward* third = at<ActivationForward>(around, 2);
  const bool takes_third = third != nullptr && third->activation != Activation::leaky_relu;  // products know no slope
  if (takes_third && around.nodes[2].in[0] == second.out[0] && is_read_once(around, second.out[0])) {
    activation = third->activation;
    claim.nodes = 3;
    claim.name += "+" + std::string(name_of(*activation));
    claim.out = {around.nodes[2].out[0]};
  }
  claim.kernel = make(*product, activation);
  return claim;
}

bool bends_by_y(const ActivationBackward& op) { return op.activation == Activation::relu || op.activation == Activation::leaky_relu; }

// activation_backward bias_backward
std::optional<Claim> activation_with_bias_backward(const Neighbours& around) {
  const ActivationBackward* activation = at<ActivationBackward>(around, 0);
  const BiasBackward* bias = at<BiasBackward>(around, 1);
  if (activation == nullptr || bias == nullptr || activation->into == Into::add || !bends_by_y(*activation)) return std::nullopt;
  const Node &first = around.nodes[0], &second = around.nodes[1];
  if (second.in[0] != first.out[0]) return std::nullopt;
  return Claim{.nodes = 2,
               .name = std::string(name_of(activation->activation)) + "_backward+bias_backward",
               .kernel = activation_and_bias_backward(*activation, *bias),
               .in = first.in,
               .out = {first.out[0], second.out[0]}};
}

// conv2d_backward_data relu_backward bias_backward, where the first gradient is for the second one alone
std::optional<Claim> data_gradient_behind_bias(const Neighbours& around) {
  const Conv2dBackwardData* conv2d = at<Conv2dBackwardData>(around, 0);
  const ActivationBackward* relu = at<ActivationBackward>(around, 1);
  const BiasBackward* bias = at<BiasBackward>(around, 2);
  if (conv2d == nullptr || relu == nullptr || bias == nullptr || relu->activation != Activation::relu || relu->into == Into::add ||
      conv2d->into == Into::add)
    return std::nullopt;
  const Node &first = around.nodes[0], &second = around.nodes[1], &third = around.nodes[2];
  if (second.in[1] != first.out[0] || !is_read_once(around, first.out[0]) || third.in[0] != second.out[0]) return std::nullopt;
  KernelPtr kernel = data_gradient_with_relu_and_bias(*conv2d, *bias);
  if (kernel == nullptr) return std::nullopt;
  return Claim{.nodes = 3,
               .name = "conv2d_backward_data+relu_backward+bias_backward",
               .kernel = std::move(kernel),
               .in = {first.in[0], first.in[1], second.in[0]},
               .out = {second.out[0], third.out[0]}};
}

// The node that pools with these places of the maxima.
const Node* pooling_with(const graph::Graph& graph, ValueId argmax) {
  for (const Node& node : graph.nodes)
    if (std::holds_alternative<MaxPoolForward>(node.op) && node.out[1] == argmax) return &node;
  return nullptr;
}

// max_pool_backward activation_backward bias_backward: the pooling behind the gradients, whose y stands for that of the activation.
const Node* pooling_of_gradients(const Neighbours& around) {
  const MaxPoolBackward* pool = at<MaxPoolBackward>(around, 0);
  const ActivationBackward* activation = at<ActivationBackward>(around, 1);
  const BiasBackward* bias = at<BiasBackward>(around, 2);
  if (pool == nullptr || activation == nullptr || bias == nullptr || pool->into == Into::add || activation->into == Into::add ||
      !bends_by_y(*activation) || !has_cells(pool->shape))
    return nullptr;
  const Node &first = around.nodes[0], &second = around.nodes[1], &third = around.nodes[2];
  if (second.in[1] != first.out[0] || third.in[0] != second.out[0] || !is_read_once(around, first.out[0])) return nullptr;
  const Node* forward = pooling_with(around.graph, first.in[1]);
  return forward != nullptr && forward->in[0] == second.in[0] ? forward : nullptr;
}

std::optional<Claim> pool_with_activation_and_bias_backward(const Neighbours& around) {
  const Node* forward = pooling_of_gradients(around);
  if (forward == nullptr) return std::nullopt;
  const Node &first = around.nodes[0], &second = around.nodes[1], &third = around.nodes[2];
  const ActivationBackward& activation = *at<ActivationBackward>(around, 1);
  return Claim{
      .nodes = 3,
      .name = "max_pool_backward+" + std::string(name_of(activation.activation)) + "_backward+bias_backward",
      .kernel = pool_activation_and_bias_backward(*at<MaxPoolBackward>(around, 0), slope_of(activation), at<BiasBackward>(around, 2)->into),
      .in = {first.in[0], first.in[1], forward->out[0]},
      .out = {second.out[0], third.out[0]}};
}

// Whether nobody but the pooling reads its input: nobody at all, or the gradients that can do with its output.
bool is_read_by_pooling_alone(const Neighbours& around, const Node& pooling) {
  const int uses = around.uses[static_cast<size_t>(pooling.in[0])];
  if (uses != 2) return uses == 1;
  const std::span<const Node> nodes = around.graph.nodes;
  for (size_t i = 0; i < nodes.size(); ++i)
    if (std::holds_alternative<MaxPoolBackward>(nodes[i].op) && nodes[i].in[1] == pooling.out[1])
      return pooling_of_gradients({around.graph, nodes.subspan(i), around.uses}) == &pooling;
  return false;
}

// conv2d bias activation max_pool
std::optional<Claim> conv2d_with_pooling(const Neighbours& around, const Limits& limits) {
  const Conv2dForward* conv2d = at<Conv2dForward>(around, 0);
  const MaxPoolForward* pool = at<MaxPoolForward>(around, 3);
  if (conv2d == nullptr || pool == nullptr) return std::nullopt;
  std::optional<Claim> claim = product_with_bias(around, conv2d_with_bias, "conv2d");
  const Node& pooling = around.nodes[3];
  if (!claim || claim->nodes != 3 || pooling.in[0] != claim->out[0] || !is_read_by_pooling_alone(around, pooling)) return std::nullopt;
  claim->nodes = 4;
  claim->name += "+max_pool";
  claim->kernel = pooled_conv2d(*conv2d, at<ActivationForward>(around, 2)->activation, *pool, limits);
  claim->out = pooling.out;
  if (around.uses[static_cast<size_t>(pooling.out[1])] == 0) claim->out.pop_back();
  return claim;
}

// loss score gradient
template <class Loss, class Gradient>
std::optional<Claim> loss_with_score_and_gradient(const Neighbours& around, std::string_view name) {
  const Gradient* gradient = at<Gradient>(around, 2);
  if (at<Loss>(around, 0) == nullptr || at<Score>(around, 1) == nullptr || gradient == nullptr) return std::nullopt;
  const Node &first = around.nodes[0], &second = around.nodes[1], &third = around.nodes[2];
  const auto begins_with = [](const std::vector<ValueId>& ids, const std::vector<ValueId>& start) {
    return std::equal(start.begin(), start.end(), ids.begin());
  };
  if (!begins_with(second.in, {first.in[0], first.in[1], first.out[0]}) || !begins_with(third.in, first.in) ||
      !is_read_once(around, first.out[0]))
    return std::nullopt;
  return Claim{.nodes = 3,
               .name = std::string(name) + "+score+gradient",
               .kernel = scored_loss(*gradient),
               .in = third.in,
               .out = {second.out[0], third.out[0]}};
}

}  // namespace

std::optional<Claim> CudaBackend::claim(const Neighbours& around, const Limits& limits) {
  if (std::optional<Claim> claim = small_net_claim(around)) return claim;
  if (std::optional<Claim> claim = conv2d_with_pooling(around, limits)) return claim;
  if (std::optional<Claim> claim = product_with_bias(around, conv2d_with_bias, "conv2d")) return claim;
  if (std::optional<Claim> claim = product_with_bias(around, linear_with_bias, "linear")) return claim;
  if (std::optional<Claim> claim = norm_claim(around)) return claim;
  if (std::optional<Claim> claim = data_gradient_behind_bias(around)) return claim;
  if (std::optional<Claim> claim = activation_with_bias_backward(around)) return claim;
  if (std::optional<Claim> claim = pool_with_activation_and_bias_backward(around)) return claim;
  using Softmax = SoftmaxCrossEntropyForward;
  using Binary = BinaryCrossEntropyForward;
  if (std::optional<Claim> claim = loss_with_score_and_gradient<Softmax, SoftmaxCrossEntropyBackward>(around, "softmax_cross_entropy"))
    return claim;
  return loss_with_score_and_gradient<Binary, BinaryCrossEntropyBackward>(around, "binary_cross_entropy");
}

}  // namespace fovea::cuda
