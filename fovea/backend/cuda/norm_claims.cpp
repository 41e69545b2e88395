// The runs of nodes around a batch norm that are one step: the convolution in front of it, the sum and the activation behind it, and the
// gradients of these.
#include <algorithm>
#include <array>

#include "fovea/backend/cuda/claims.h"
#include "fovea/backend/cuda/neighbours.h"
#include "fovea/backend/cuda/tensor_product.h"

namespace fovea::cuda {
namespace {

// What is done to the normalised values of node `first`, and the claim so far.
struct NormRun {
  Claim claim;
  NormTail tail;
};

// batch_norm [add] [activation]
NormRun norm_run(const Neighbours& around, size_t first) {
  const Node& norm = around.nodes[first];
  NormRun run{{.nodes = first + 1, .name = "batch_norm", .kernel = nullptr, .in = norm.in, .out = norm.out}, {}};
  auto& [claim, tail] = run;
  const auto reads = [&](size_t position) {
    const Node& next = around.nodes[claim.nodes];
    return next.in[position] == claim.out[0] && is_read_once(around, claim.out[0]);
  };
  const auto take = [&](std::string_view name) {
    claim.name += "+" + std::string(name);
    claim.out[0] = around.nodes[claim.nodes].out[0];
    ++claim.nodes;
  };
  if (at<Add>(around, first + 1) != nullptr && (reads(0) || reads(1))) {
    tail.adds = true;
    claim.in.push_back(around.nodes[first + 1].in[reads(0) ? 1 : 0]);
    take("add");
  }
  const ActivationForward* activation = at<ActivationForward>(around, claim.nodes);
  if (activation != nullptr && reads(0)) {
    tail.activation = activation->activation;
    tail.slope = activation->slope;
    take(name_of(activation->activation));
  }
  return run;
}

template <class Op>
std::optional<Claim> norm_with_tail(const Neighbours& around) {
  const Op* norm = at<Op>(around, 0);
  if (norm == nullptr) return std::nullopt;
  auto [claim, tail] = norm_run(around, 0);
  if (claim.nodes == 1) return std::nullopt;
  claim.kernel = batch_norm_with(*norm, tail);
  return std::move(claim);
}

const Node* writer_of(const graph::Graph& graph, ValueId id) {
  const auto found = std::find_if(graph.nodes.begin(), graph.nodes.end(),
                                  [id](const Node& node) { return std::find(node.out.begin(), node.out.end(), id) != node.out.end(); });
  return found == graph.nodes.end() ? nullptr : &*found;
}

template <class Op>
const Node* reader_of(const graph::Graph& graph, ValueId id) {
  for (const Node& node : graph.nodes)
    if (std::holds_alternative<Op>(node.op) && std::find(node.in.begin(), node.in.end(), id) != node.in.end()) return &node;
  return nullptr;
}

// The convolution behind x, if x had better be computed anew for each of those who read it: a norm that ends in a sum, and the gradient of
// that norm. The gradient goes by this alone; the norm keeps x all the same where more than a sum and relu is behind it.
const Node* computed_again(const Neighbours& around, ValueId x) {
  const Node* conv2d = writer_of(around.graph, x);
  if (conv2d == nullptr || !std::holds_alternative<Conv2dForward>(conv2d->op) || around.uses[static_cast<size_t>(x)] != 2) return nullptr;
  const Node *norm = reader_of<BatchNormForward>(around.graph, x), *gradient = reader_of<BatchNormBackward>(around.graph, x);
  if (norm == nullptr || gradient == nullptr || gradient->in[0] != x || std::get<BatchNormBackward>(gradient->op).into == Into::add ||
      !is_read_once(around, norm->out[0]) || reader_of<Add>(around.graph, norm->out[0]) == nullptr)
    return nullptr;
  return can_be_computed_again(std::get<Conv2dForward>(conv2d->op)) ? conv2d : nullptr;
}

SumBehind sum_behind(const NormTail& tail) { return tail.activation ? SumBehind::relu : SumBehind::nothing; }

// conv2d batch_norm add [relu]
std::optional<Claim> norm_of_what_is_computed_again(const Neighbours& around) {
  const Conv2dForward* conv2d = at<Conv2dForward>(around, 0);
  const BatchNormForward* norm = at<BatchNormForward>(around, 1);
  if (conv2d == nullptr || norm == nullptr || around.nodes[1].in[0] != around.nodes[0].out[0] ||
      computed_again(around, around.nodes[0].out[0]) == nullptr)
    return std::nullopt;
  auto [claim, tail] = norm_run(around, 1);
  if (!tail.adds || (tail.activation && *tail.activation != Activation::relu)) return std::nullopt;
  claim.kernel = norm_of_product({*conv2d, *norm}, sum_behind(tail));
  claim.name = "conv2d twice+" + claim.name;
  claim.in.erase(claim.in.begin());
  claim.in.insert(claim.in.begin(), around.nodes[0].in.begin(), around.nodes[0].in.end());
  return std::move(claim);
}

// conv2d batch_norm [add] [activation]
std::optional<Claim> conv2d_with_norm(const Neighbours& around) {
  const Conv2dForward* conv2d = at<Conv2dForward>(around, 0);
  const BatchNormForward* norm = at<BatchNormForward>(around, 1);
  if (conv2d == nullptr || norm == nullptr || around.nodes[1].in[0] != around.nodes[0].out[0]) return std::nullopt;
  auto [claim, tail] = norm_run(around, 1);
  claim.kernel = conv2d_with_batch_norm(*conv2d, *norm, tail);
  if (claim.kernel == nullptr) return std::nullopt;
  claim.name = "conv2d+" + claim.name;
  claim.in.erase(claim.in.begin());
  claim.in.insert(claim.in.begin(), around.nodes[0].in.begin(), around.nodes[0].in.end());
  claim.out.push_back(around.nodes[0].out[0]);
  return std::move(claim);
}

// conv2d batch_norm conv2d batch_norm add [activation]: the ends of two branches that are summed up
std::optional<Claim> two_conv2d_with_norm(const Neighbours& around) {
  const Conv2dForward *first = at<Conv2dForward>(around, 0), *second = at<Conv2dForward>(around, 2);
  const BatchNormForward *first_norm = at<BatchNormForward>(around, 1), *second_norm = at<BatchNormForward>(around, 3);
  if (first == nullptr || second == nullptr || first_norm == nullptr || second_norm == nullptr || at<Add>(around, 4) == nullptr)
    return std::nullopt;
  const std::span<const Node> nodes = around.nodes;
  for (const size_t i : {0, 2})
    if (nodes[i + 1].in[0] != nodes[i].out[0] || !is_read_once(around, nodes[i + 1].out[0])) return std::nullopt;
  const Node& sum = nodes[4];
  const ValueId one = nodes[1].out[0], other = nodes[3].out[0];
  if (std::minmax(sum.in[0], sum.in[1]) != std::minmax(one, other)) return std::nullopt;
  const ActivationForward* activation = at<ActivationForward>(around, 5);
  if (activation != nullptr && (nodes[5].in[0] != sum.out[0] || !is_read_once(around, sum.out[0]))) activation = nullptr;
  Claim claim{.nodes = 5, .name = "two conv2d+batch_norm+add", .kernel = nullptr, .in = {}, .out = {sum.out[0]}};
  std::optional<Activation> behind;
  if (activation != nullptr) {
    behind = activation->activation;
    claim.name += "+" + std::string(name_of(*behind));
    claim.out[0] = nodes[claim.nodes++].out[0];
  }
  const NormedConv2d ends[] = {{*first, *first_norm}, {*second, *second_norm}};
  const SumBehind behind_sum = behind ? SumBehind::relu : SumBehind::nothing;
  const auto is_again = [&](size_t i) {
    return (!behind || *behind == Activation::relu) && computed_again(around, nodes[i].out[0]) != nullptr;
  };
  std::array<size_t, 2> order = {0, 2};  // what is computed again first
  if (!is_again(0) && is_again(2)) std::swap(order[0], order[1]);
  if (is_again(order[1]))
    claim.kernel = norms_of_products(ends[0], ends[1], behind_sum);
  else if (is_again(order[0]))
    claim.kernel = norm_of_product_and_branch(ends[order[0] / 2], ends[order[1] / 2], behind_sum);
  else
    claim.kernel = two_conv2d_with_batch_norm(ends[0], ends[1], behind);
  if (is_again(order[1]))
    claim.name = "two conv2d twice" + claim.name.substr(10);
  else if (is_again(order[0]))
    claim.name = "conv2d twice+" + claim.name.substr(4);
  if (claim.kernel == nullptr) return std::nullopt;
  for (const size_t i : order) {
    const Node &conv2d = nodes[i], &norm = nodes[i + 1];
    claim.in.insert(claim.in.end(), {conv2d.in[0], conv2d.in[1], norm.in[1], norm.in[2]});
    claim.out.insert(claim.out.end(), {norm.out[1], norm.out[2]});
    if (!is_again(i)) claim.out.push_back(conv2d.out[0]);
  }
  return claim;
}

// batch_norm_inference batch_norm_inference add [relu]: the same when it is computed again
std::optional<Claim> two_norms_with_sum(const Neighbours& around) {
  const BatchNormInference *first = at<BatchNormInference>(around, 0), *second = at<BatchNormInference>(around, 1);
  if (first == nullptr || second == nullptr || at<Add>(around, 2) == nullptr || first->rows != second->rows || first->c != second->c)
    return std::nullopt;
  const Node &one = around.nodes[0], &other = around.nodes[1], &sum = around.nodes[2];
  if (std::minmax(sum.in[0], sum.in[1]) != std::minmax(one.out[0], other.out[0]) || one.out[0] == other.out[0] ||
      !is_read_once(around, one.out[0]) || !is_read_once(around, other.out[0]))
    return std::nullopt;
  NormedBranches branches{*first, *second};
  Claim claim{.nodes = 3, .name = "two batch_norm+add", .kernel = nullptr, .in = one.in, .out = sum.out};
  claim.in.insert(claim.in.end(), other.in.begin(), other.in.end());
  const ActivationForward* relu = at<ActivationForward>(around, 3);
  if (relu != nullptr && relu->activation == Activation::relu && around.nodes[3].in[0] == sum.out[0] && is_read_once(around, sum.out[0])) {
    branches.relu = NormedBranches::Relu::yes;
    claim.name += "+relu";
    claim.out = around.nodes[claim.nodes++].out;
  }
  claim.kernel = two_batch_norms_with_sum(branches);
  return claim;
}

bool is_norm(const Node& node) {
  return std::holds_alternative<BatchNormForward>(node.op) || std::holds_alternative<BatchNormInference>(node.op);
}

// The shift of the batch norm of x, if `y` is relu of what it gives, perhaps when it is computed again; else no_value.
ValueId shift_behind_relu(const graph::Graph& graph, ValueId x, ValueId y) {
  const Node* relu = nullptr;
  for (const Node& node : graph.nodes)
    if (std::holds_alternative<ActivationForward>(node.op) && node.out[0] == y) relu = &node;
  for (const Node& node : graph.nodes)
    if (relu != nullptr && is_norm(node) && node.in[0] == x && node.out[0] == relu->in[0]) return node.in[2];
  return graph::no_value;
}

// activation_backward batch_norm_backward; what lies between them may be read by others too.
std::optional<Claim> activation_and_norm_backward(const Neighbours& around) {
  const ActivationBackward* activation = at<ActivationBackward>(around, 0);
  const BatchNormBackward* norm = at<BatchNormBackward>(around, 1);
  if (activation == nullptr || norm == nullptr || activation->into == Into::add) return std::nullopt;
  const Node &first = around.nodes[0], &second = around.nodes[1];
  const ValueId between = first.out[0];
  if (second.in[1] != between || second.in[0] == between || computed_again(around, second.in[0]) != nullptr) return std::nullopt;
  Claim claim{.nodes = 2,
              .name = std::string(name_of(activation->activation)) + "_backward+batch_norm_backward",
              .kernel = batch_norm_backward_with(*norm, *activation),
              .in = {first.in[0], first.in[1], second.in[0], second.in[2], second.in[3], second.in[4]},
              .out = second.out};
  if (!is_read_once(around, between)) claim.out.push_back(between);
  const ValueId shift =
      activation->activation == Activation::relu ? shift_behind_relu(around.graph, second.in[0], first.in[0]) : graph::no_value;
  if (shift == graph::no_value) return claim;
  claim.kernel = batch_norm_backward_with_relu(*norm);
  claim.in = {second.in[0], first.in[1], second.in[2], shift, second.in[3], second.in[4]};
  return claim;
}

// batch_norm_backward, with the convolution in the place of what it gives
std::optional<Claim> norm_of_what_is_computed_again_backward(const Neighbours& around) {
  const BatchNormBackward* norm = at<BatchNormBackward>(around, 0);
  const Node* conv2d = norm == nullptr ? nullptr : computed_again(around, around.nodes[0].in[0]);
  if (conv2d == nullptr) return std::nullopt;
  const Node& node = around.nodes[0];
  return Claim{.nodes = 1,
               .name = "conv2d of " + std::to_string(std::get<Conv2dForward>(conv2d->op).shape.c) + " twice+batch_norm_backward",
               .kernel = norm_of_product_backward(std::get<Conv2dForward>(conv2d->op), *norm),
               .in = {conv2d->in[0], conv2d->in[1], node.in[1], node.in[2], node.in[3], node.in[4]},
               .out = node.out};
}

// batch_norm_backward batch_norm_backward, of the ends of two branches that are summed up
std::optional<Claim> two_norms_backward(const Neighbours& around) {
  const BatchNormBackward *one = at<BatchNormBackward>(around, 0), *other = at<BatchNormBackward>(around, 1);
  if (one == nullptr || other == nullptr) return std::nullopt;
  const Node &first = around.nodes[0], &second = around.nodes[1];
  const ValueId dy = first.in[1];
  if (computed_again(around, first.in[0]) != nullptr || computed_again(around, second.in[0]) != nullptr) return std::nullopt;
  const bool is_shared = around.graph.storage_of(second.in[1]) == around.graph.storage_of(dy);
  if (!is_shared || one->rows != other->rows || one->c != other->c || first.out[0] == second.out[0]) return std::nullopt;
  Claim claim{.nodes = 2,
              .name = "two batch_norm_backward",
              .kernel = two_batch_norms_backward(*one, *other),
              .in = {dy, first.in[0], first.in[2], first.in[3], first.in[4], second.in[0], second.in[2], second.in[3], second.in[4]},
              .out = first.out};
  claim.out.insert(claim.out.end(), second.out.begin(), second.out.end());
  return claim;
}

// Whether nobody reads y but the pooling and the gradient of relu, for which the norm's input does.
bool is_read_by_pooling_alone(const Neighbours& around, const Node& norm, const Node& pooling) {
  const ValueId y = pooling.in[0];
  const int uses = around.uses[static_cast<size_t>(y)];
  if (uses != 2) return uses == 1;
  const std::span<const Node> nodes = around.graph.nodes;
  for (size_t i = 0; i + 1 < nodes.size(); ++i)
    if (std::holds_alternative<ActivationBackward>(nodes[i].op) && nodes[i].in[0] == y) {
      const std::optional<Claim> backward = activation_and_norm_backward({around.graph, nodes.subspan(i), around.uses});
      return backward && backward->in[0] == norm.in[0];
    }
  return false;
}

// Whether node `first` and the next two are batch_norm relu max_pool, of which nothing is read but what the pooling gives.
bool are_norm_and_pool(const Neighbours& around, size_t first) {
  const ActivationForward* relu = at<ActivationForward>(around, first + 1);
  if (at<BatchNormForward>(around, first) == nullptr || relu == nullptr || at<MaxPoolForward>(around, first + 2) == nullptr ||
      relu->activation != Activation::relu)
    return false;
  const Node &norm = around.nodes[first], &second = around.nodes[first + 1], &pool = around.nodes[first + 2];
  return second.in[0] == norm.out[0] && is_read_once(around, norm.out[0]) && pool.in[0] == second.out[0] &&
         is_read_by_pooling_alone(around, norm, pool);
}

// batch_norm relu max_pool
std::optional<Claim> norm_with_pool(const Neighbours& around) {
  if (!are_norm_and_pool(around, 0)) return std::nullopt;
  const Node &norm = around.nodes[0], &pool = around.nodes[2];
  KernelPtr kernel = batch_norm_with_pool(*at<BatchNormForward>(around, 0), *at<MaxPoolForward>(around, 2));
  if (kernel == nullptr) return std::nullopt;
  return Claim{.nodes = 3,
               .name = "batch_norm+relu+max_pool",
               .kernel = std::move(kernel),
               .in = norm.in,
               .out = {pool.out[0], norm.out[1], norm.out[2], pool.out[1]}};
}

// conv2d batch_norm relu max_pool
std::optional<Claim> conv2d_with_norm_and_pool(const Neighbours& around) {
  const Conv2dForward* conv2d = at<Conv2dForward>(around, 0);
  if (conv2d == nullptr || !are_norm_and_pool(around, 1)) return std::nullopt;
  const Node &first = around.nodes[0], &norm = around.nodes[1], &pool = around.nodes[3];
  if (norm.in[0] != first.out[0]) return std::nullopt;
  KernelPtr kernel = conv2d_with_batch_norm_and_pool({*conv2d, *at<BatchNormForward>(around, 1)}, *at<MaxPoolForward>(around, 3));
  if (kernel == nullptr) return std::nullopt;
  return Claim{.nodes = 4,
               .name = "conv2d+batch_norm+relu+max_pool",
               .kernel = std::move(kernel),
               .in = {first.in[0], first.in[1], norm.in[1], norm.in[2]},
               .out = {pool.out[0], norm.out[1], norm.out[2], pool.out[1], first.out[0]}};
}

// Whether a value that is written again by the first node is read by the second one and by none behind it.
bool is_read_last(const Neighbours& around, ValueId id) {
  const std::span<const Node> all(around.graph.nodes);
  const ValueId storage = around.graph.storage_of(id);
  const auto touches = [&](const Node& node) {
    const auto is_same = [&](ValueId other) { return around.graph.storage_of(other) == storage; };
    return std::any_of(node.in.begin(), node.in.end(), is_same) || std::any_of(node.out.begin(), node.out.end(), is_same);
  };
  const size_t behind = static_cast<size_t>(around.nodes.data() - all.data()) + 2;
  return std::none_of(all.begin() + static_cast<std::ptrdiff_t>(behind), all.end(), touches);
}

// conv2d_backward_data relu_backward, where the gradient that the first one completes is for the second one alone.
std::optional<Claim> data_gradient_with_relu(const Neighbours& around) {
  const Conv2dBackwardData* conv2d = at<Conv2dBackwardData>(around, 0);
  const ActivationBackward* relu = at<ActivationBackward>(around, 1);
  if (conv2d == nullptr || relu == nullptr || relu->activation != Activation::relu || relu->into == Into::add) return std::nullopt;
  const Node &first = around.nodes[0], &second = around.nodes[1];
  const ValueId between = first.out[0];
  if (second.in[1] != between || !is_read_last(around, between)) return std::nullopt;
  if (at<BatchNormBackward>(around, 2) != nullptr &&
      shift_behind_relu(around.graph, around.nodes[2].in[0], second.in[0]) != graph::no_value)
    return std::nullopt;  // without y, which that step does not read
  KernelPtr kernel = on_tensor_cores_with_relu(*conv2d);
  if (kernel == nullptr) return std::nullopt;
  return Claim{.nodes = 2,
               .name = "conv2d_backward_data+relu_backward",
               .kernel = std::move(kernel),
               .in = {first.in[0], first.in[1], second.in[0], between},
               .out = {second.out[0]}};
}

}  // namespace

std::optional<Claim> norm_claim(const Neighbours& around) {
  if (std::optional<Claim> claim = two_conv2d_with_norm(around)) return claim;
  if (std::optional<Claim> claim = conv2d_with_norm_and_pool(around)) return claim;
  if (std::optional<Claim> claim = norm_of_what_is_computed_again(around)) return claim;
  if (std::optional<Claim> claim = conv2d_with_norm(around)) return claim;
  if (std::optional<Claim> claim = norm_with_pool(around)) return claim;
  if (std::optional<Claim> claim = two_norms_with_sum(around)) return claim;
  if (std::optional<Claim> claim = norm_with_tail<BatchNormForward>(around)) return claim;
  if (std::optional<Claim> claim = norm_with_tail<BatchNormInference>(around)) return claim;
  if (std::optional<Claim> claim = activation_and_norm_backward(around)) return claim;
  if (std::optional<Claim> claim = norm_of_what_is_computed_again_backward(around)) return claim;
  if (std::optional<Claim> claim = two_norms_backward(around)) return claim;
  return data_gradient_with_relu(around);
}

}  // namespace fovea::cuda
