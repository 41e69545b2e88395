// Which runs of nodes this backend takes as one step: a product with its bias and activation, a batch norm with the sum and the activation
// behind it, the gradients of both, and a loss with its score and gradient.
#include "fovea/backend/cuda/claims.h"

#include "fovea/backend/cuda/backend.h"

namespace fovea::cuda {
namespace {

using graph::Node;
using graph::ValueId;

// Node i, if it is an Op; all the nodes of a network have the types of one precision.
template <class Op>
const Op* at(const Neighbours& around, size_t i) {
  return i < around.nodes.size() ? std::get_if<Op>(&around.nodes[i].op) : nullptr;
}

bool is_read_once(const Neighbours& around, ValueId id) { return around.uses[static_cast<size_t>(id)] == 1; }

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

// batch_norm [add] [activation]
template <class Op>
std::optional<Claim> norm_with_tail(const Neighbours& around) {
  const Op* norm = at<Op>(around, 0);
  if (norm == nullptr) return std::nullopt;
  const Node& first = around.nodes[0];
  Claim claim{.nodes = 1, .name = "batch_norm", .kernel = nullptr, .in = first.in, .out = first.out};
  NormTail tail;
  const auto reads = [&](size_t position) {
    const Node& next = around.nodes[claim.nodes];
    return next.in[position] == claim.out[0] && is_read_once(around, claim.out[0]);
  };
  const auto take = [&](std::string_view name) {
    claim.name += "+" + std::string(name);
    claim.out[0] = around.nodes[claim.nodes].out[0];
    ++claim.nodes;
  };
  if (at<Add>(around, 1) != nullptr && (reads(0) || reads(1))) {
    tail.adds = true;
    claim.in.push_back(around.nodes[1].in[reads(0) ? 1 : 0]);
    take("add");
  }
  const ActivationForward* activation = at<ActivationForward>(around, claim.nodes);
  if (activation != nullptr && reads(0)) {
    tail.activation = activation->activation;
    tail.slope = activation->slope;
    take(name_of(activation->activation));
  }
  if (claim.nodes == 1) return std::nullopt;
  claim.kernel = batch_norm_with(*norm, tail);
  return claim;
}

// activation_backward batch_norm_backward; what lies between them may be read by others too.
std::optional<Claim> activation_and_norm_backward(const Neighbours& around) {
  const ActivationBackward* activation = at<ActivationBackward>(around, 0);
  const BatchNormBackward* norm = at<BatchNormBackward>(around, 1);
  if (activation == nullptr || norm == nullptr || activation->into == Into::add) return std::nullopt;
  const Node &first = around.nodes[0], &second = around.nodes[1];
  const ValueId between = first.out[0];
  if (second.in[1] != between || second.in[0] == between) return std::nullopt;
  Claim claim{.nodes = 2,
              .name = std::string(name_of(activation->activation)) + "_backward+batch_norm_backward",
              .kernel = batch_norm_backward_with(*norm, *activation),
              .in = {first.in[0], first.in[1], second.in[0], second.in[2], second.in[3], second.in[4]},
              .out = second.out};
  if (!is_read_once(around, between)) claim.out.push_back(between);
  return claim;
}

// loss score gradient
std::optional<Claim> scored_loss(const Neighbours& around) {
  const SoftmaxCrossEntropyForward* loss = at<SoftmaxCrossEntropyForward>(around, 0);
  if (loss == nullptr || loss->n > largest_scored_batch || at<Score>(around, 1) == nullptr || around.nodes.size() < 3) return std::nullopt;
  const SoftmaxCrossEntropyBackward* gradient = std::get_if<SoftmaxCrossEntropyBackward>(&around.nodes[2].op);
  const Node &first = around.nodes[0], &second = around.nodes[1], &third = around.nodes[2];
  if (gradient == nullptr || second.in != std::vector{first.in[0], first.in[1], first.out[0]} ||
      std::vector(third.in.begin(), third.in.begin() + 2) != first.in || !is_read_once(around, first.out[0]))
    return std::nullopt;
  return Claim{.nodes = 3,
               .name = "softmax_cross_entropy+score+gradient",
               .kernel = scored_softmax_cross_entropy(*gradient),
               .in = third.in,
               .out = {second.out[0], third.out[0]}};
}

}  // namespace

std::optional<Claim> CudaBackend::claim(const Neighbours& around, const Limits&) {
  if (std::optional<Claim> claim = product_with_bias(around, conv2d_with_bias, "conv2d")) return claim;
  if (std::optional<Claim> claim = product_with_bias(around, linear_with_bias, "linear")) return claim;
  if (std::optional<Claim> claim = norm_with_tail<BatchNormForward>(around)) return claim;
  if (std::optional<Claim> claim = norm_with_tail<BatchNormInference>(around)) return claim;
  if (std::optional<Claim> claim = activation_and_norm_backward(around)) return claim;
  return scored_loss(around);
}

}  // namespace fovea::cuda
