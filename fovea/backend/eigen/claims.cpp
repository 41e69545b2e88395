// Which runs of nodes this backend takes as one step: a convolution with bias, rectifier and pooling, and the gradients of these.
#include "fovea/backend/eigen/backend.h"
#include "fovea/backend/eigen/conv2d_block.h"
#include "fovea/backend/eigen/depthwise.h"
#include "fovea/backend/eigen/direct_conv2d.h"
#include "fovea/backend/eigen/kernel.h"

namespace fovea::eigen {
namespace {

using graph::Node;
using graph::ValueId;

// The nodes from one of them on, and who reads what they write.
class Run {
 public:
  Run(const Neighbours& around, size_t first) : around_(around), first_(first) {}

  template <class Op>
  const Op* at(size_t i) const {
    return first_ + i < around_.nodes.size() ? std::get_if<Op>(&node(i).op) : nullptr;
  }
  const Node& node(size_t i) const { return around_.nodes[first_ + i]; }
  int uses(ValueId id) const { return around_.uses[static_cast<size_t>(id)]; }
  const graph::Graph& graph() const { return around_.graph; }

  // Node i, if it is an Op whose input `position` is `id`.
  template <class Op>
  const Op* reading(size_t i, size_t position, ValueId id) const {
    const Op* op = at<Op>(i);
    return op != nullptr && node(i).in[position] == id ? op : nullptr;
  }

 private:
  const Neighbours& around_;
  size_t first_;
};

bool is_relu(const ActivationForward* op) { return op != nullptr && op->activation == Activation::relu && in_float(op->types); }
bool is_relu(const ActivationBackward* op) {
  return op != nullptr && op->activation == Activation::relu && op->into == Into::overwrite && in_float(op->types);
}
bool is_suited(const PoolShape& shape, const Types& types) { return in_float(types) && argmax_dtype(shape.window) == DType::u8; }

// The node that computed a maximum with this argmax; nullptr if there is none.
const Node* pool_of(const graph::Graph& graph, ValueId argmax) {
  for (const Node& node : graph.nodes)
    if (std::holds_alternative<MaxPoolForward>(node.op) && node.out[1] == argmax) return &node;
  return nullptr;
}

struct BackwardMatch {
  Conv2dBlockBackward block;
  Claim claim;
};

// [max_pool_backward] activation_backward bias_backward conv2d_backward_filter [conv2d_backward_data], without what lies between them.
std::optional<BackwardMatch> match_backward(const Run& run, const Conv2dBlocks& blocks) {
  BackwardMatch match;
  Claim& claim = match.claim;
  const MaxPoolBackward* pool = run.at<MaxPoolBackward>(0);
  size_t i = pool != nullptr ? 1 : 0;
  if (!is_relu(run.at<ActivationBackward>(i))) return std::nullopt;
  const Node& rectifier = run.node(i);
  if (pool != nullptr) {
    const ValueId between = run.node(0).out[0], argmax = run.node(0).in[1];
    const Node* forward = pool_of(run.graph(), argmax);
    if (!is_suited(pool->shape, pool->types) || pool->into != Into::overwrite || run.uses(between) != 1 || rectifier.in[1] != between ||
        forward == nullptr || forward->in[0] != rectifier.in[0])
      return std::nullopt;
    match.block.pool = pool->shape;
    claim.in = {run.node(0).in[0], forward->out[0], argmax};
    claim.name = "max_pool_backward+";
  } else {
    claim.in = {rectifier.in[1], rectifier.in[0]};
  }
  const ValueId dz = rectifier.out[0];
  const BiasBackward* bias = run.reading<BiasBackward>(++i, 0, dz);
  const Conv2dBackwardFilter* filter = run.reading<Conv2dBackwardFilter>(i + 1, 1, dz);
  if (bias == nullptr || filter == nullptr || !in_float(bias->types) || !in_float(filter->types)) return std::nullopt;
  claim.out = {run.node(i).out[0], run.node(i + 1).out[0]};
  claim.in.push_back(run.node(i + 1).in[0]);
  claim.name += "relu_backward+bias_backward+conv2d_backward_filter";
  match.block.shape = filter->shape;
  match.block.db = bias->into;
  match.block.dw = filter->into;
  i += 2;
  const Conv2dBackwardData* data = run.reading<Conv2dBackwardData>(i, 0, dz);
  if (data != nullptr) {
    match.block.dx = data->into;
    claim.in.push_back(run.node(i).in[1]);
    claim.out.push_back(run.node(i).out[0]);
    claim.name += "+conv2d_backward_data";
    ++i;
  }
  if (run.uses(dz) != (data != nullptr ? 3 : 2) || !blocks.suits(match.block)) return std::nullopt;
  claim.nodes = i;
  return match;
}

// Whether nobody reads y but the pool, and its gradient in a claim that makes do with the pool's output.
bool is_needless(const Neighbours& around, ValueId y, const Conv2dBlocks& blocks) {
  if (around.uses[static_cast<size_t>(y)] == 1) return true;
  for (size_t i = 0; i < around.nodes.size(); ++i) {
    const std::optional<BackwardMatch> backward = match_backward(Run(around, i), blocks);
    if (backward && backward->block.pool && around.nodes[i + 1].in[0] == y) return around.uses[static_cast<size_t>(y)] == 2;
  }
  return false;
}

// conv2d bias [activation [max_pool]]
std::optional<Claim> match_forward(const Neighbours& around, const Limits& limits, const Conv2dBlocks& blocks) {
  const Run run(around, 0);
  const Conv2dForward* conv2d = run.at<Conv2dForward>(0);
  if (conv2d == nullptr || !in_float(conv2d->types)) return std::nullopt;
  const BiasForward* bias = run.reading<BiasForward>(1, 0, run.node(0).out[0]);
  if (bias == nullptr || !in_float(bias->types) || run.uses(run.node(0).out[0]) != 1) return std::nullopt;
  Conv2dBlockForward block{.shape = conv2d->shape, .pool = std::nullopt};
  if (!blocks.suits(block)) return std::nullopt;
  Claim claim{
      .nodes = 2, .name = "conv2d+bias", .kernel = nullptr, .in = {run.node(0).in[0], run.node(0).in[1], run.node(1).in[1]}, .out = {}};
  ValueId y = run.node(1).out[0];
  if (run.uses(y) == 1 && is_relu(run.reading<ActivationForward>(2, 0, y))) {
    block.rectify = Rectify::yes;
    claim.name += "+relu";
    claim.nodes = 3;
    y = run.node(2).out[0];
    const MaxPoolForward* pool = run.reading<MaxPoolForward>(3, 0, y);
    Conv2dBlockForward with_pool = block;
    if (pool != nullptr) with_pool.pool = pool->shape;
    if (pool != nullptr && is_suited(pool->shape, pool->types) && blocks.suits(with_pool)) {
      block.pool = pool->shape;
      block.keep_y = is_needless(around, y, blocks) ? Keep::no : Keep::yes;
      claim.name += "+max_pool";
      claim.nodes = 4;
    }
  }
  if (block.keep_y == Keep::yes) claim.out.push_back(y);
  if (block.pool) {
    claim.out.push_back(run.node(3).out[0]);
    if (run.uses(run.node(3).out[1]) > 0) claim.out.push_back(run.node(3).out[1]);
  }
  claim.kernel = blocks.make(block, limits);
  return claim;
}

bool suits_direct(const Conv2dShape& shape) { return direct_suits(shape) && !depthwise_suits(shape); }

class DirectBlocks final : public Conv2dBlocks {
 public:
  bool suits(const Conv2dBlockForward& block) const override { return suits_direct(block.shape); }
  bool suits(const Conv2dBlockBackward& block) const override { return suits_direct(block.shape); }
  KernelPtr make(const Conv2dBlockForward& block, const Limits&) const override { return make_kernel(block); }
  KernelPtr make(const Conv2dBlockBackward& block, const Limits&) const override { return make_kernel(block); }
};

}  // namespace

std::optional<Claim> claim_conv2d(const Neighbours& around, const Limits& limits, const Conv2dBlocks& blocks) {
  if (std::optional<Claim> forward = match_forward(around, limits, blocks)) return forward;
  std::optional<BackwardMatch> backward = match_backward(Run(around, 0), blocks);
  if (!backward) return std::nullopt;
  backward->claim.kernel = blocks.make(backward->block, limits);
  return std::move(backward->claim);
}

std::optional<Claim> EigenBackend::claim(const Neighbours& around, const Limits& limits) {
  return claim_conv2d(around, limits, DirectBlocks());
}

}  // namespace fovea::eigen
