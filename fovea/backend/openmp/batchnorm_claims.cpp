// What a batch norm writes and only an addition or a rectifier reads need not go to memory and back.
#include "fovea/backend/openmp/batchnorm_claims.h"

#include "fovea/backend/openmp/batchnorm.h"

namespace fovea::openmp {
namespace {

using graph::Node;
using graph::ValueId;

template <class Op>
eigen::BatchNormRun forward_run_of(const FusedNorm<Op>& fused, const Buffers& buffers) {
  eigen::BatchNormRun run = eigen::run_of(fused.norm, buffers);
  if (fused.adds) run.other = input(buffers, buffers.in.size() - 1);
  run.rectify = fused.rectify;
  return run;
}

template <class Fused>
KernelPtr two_passes(const Fused& fused, const Limits& limits) {
  const BatchNormSplit split(fused.norm.rows, fused.norm.c);
  const auto function = [split](const Fused& of, const Run& run) { run_passes(run_of(of, run.buffers), split, run); };
  return kernel("loops in two passes", fused, function, threads_for(limits, fused.norm.rows * fused.norm.c), split.workspace_floats());
}

KernelPtr make_kernel(const FusedNorm<BatchNormForward>& fused, const Limits& limits) { return two_passes(fused, limits); }
KernelPtr make_kernel(const FusedNormBackward& fused, const Limits& limits) { return two_passes(fused, limits); }

KernelPtr make_kernel(const FusedNorm<BatchNormInference>& fused, const Limits& limits) {
  const int64_t c = fused.norm.c, work = 2 * fused.norm.rows * c;
  const Split split = split_of(fused.norm.rows, work, 256);
  const auto function = [split](const FusedNorm<BatchNormInference>& of, const Run& run) {
    const eigen::BatchNormRun norm = run_of(of, run.buffers);
    eigen::set_factors(norm, {input(run.buffers, 3), input(run.buffers, 4)}, run.workspace);
    parallel_for(run.threads, split.ranges(), [&](int64_t range) { eigen::store_rows(norm, split.range(range), run.workspace); });
  };
  return kernel("loops", fused, function, threads_for(limits, work), eigen::factors_floats(c));
}

bool is_relu(const Node& node, ValueId x) {
  const ActivationForward* op = std::get_if<ActivationForward>(&node.op);
  return op != nullptr && op->activation == Activation::relu && in_float(op->types) && node.in[0] == x;
}

template <class Op>
std::optional<NormMatch> match_forward(const Neighbours& around) {
  const Node& first = around.nodes[0];
  const Op* norm = std::get_if<Op>(&first.op);
  if (norm == nullptr || !in_float(norm->types)) return std::nullopt;
  FusedNorm<Op> fused{*norm};
  Claim claim{.nodes = 1, .name = "batch_norm", .kernel = nullptr, .in = first.in, .out = first.out};
  const auto next = [&]() -> const Node* {  // if nobody else reads what the claim gives so far
    const bool alone = around.uses[static_cast<size_t>(claim.out[0])] == 1;
    return alone && claim.nodes < around.nodes.size() ? &around.nodes[claim.nodes] : nullptr;
  };
  const auto take = [&](const Node& node, std::string_view name) {
    claim.out[0] = node.out[0];
    claim.name += name;
    ++claim.nodes;
  };
  if (const Node* node = next()) {
    const Add* add = std::get_if<Add>(&node->op);
    if (add != nullptr && in_float(add->types) && node->in[0] != node->in[1] &&
        (node->in[0] == claim.out[0] || node->in[1] == claim.out[0])) {
      fused.adds = true;
      claim.in.push_back(node->in[0] == claim.out[0] ? node->in[1] : node->in[0]);
      take(*node, "+add");
    }
  }
  if (const Node* node = next(); node != nullptr && is_relu(*node, claim.out[0])) {
    fused.rectify = eigen::Rectify::yes;
    take(*node, "+relu");
  }
  if (claim.nodes == 1) return std::nullopt;
  return NormMatch{fused, std::move(claim)};
}

// The node that computed these statistics; nullptr if there is none.
const Node* norm_of(const graph::Graph& graph, ValueId mean) {
  for (const Node& node : graph.nodes)
    if (std::holds_alternative<BatchNormForward>(node.op) && node.out[1] == mean) return &node;
  return nullptr;
}

// Whether this node computes the output of the batch norm once more.
bool repeats(const Node& node, const Node& norm) {
  return std::holds_alternative<BatchNormInference>(node.op) && node.in[3] == norm.out[1];
}

// Whether `y` is what a rectifier made of the output of this batch norm alone.
bool rectifies(const graph::Graph& graph, ValueId y, const Node& norm) {
  for (const Node& node : graph.nodes) {
    const bool is_norm = node.out == norm.out || repeats(node, norm);
    for (const Node& next : graph.nodes)
      if (is_norm && is_relu(next, node.out[0]) && next.out[0] == y) return true;
  }
  return false;
}

std::optional<NormMatch> match_backward(const Neighbours& around) {
  if (around.nodes.size() < 2) return std::nullopt;
  const Node &rectifier = around.nodes[0], &node = around.nodes[1];
  const ActivationBackward* relu = std::get_if<ActivationBackward>(&rectifier.op);
  const BatchNormBackward* norm = std::get_if<BatchNormBackward>(&node.op);
  if (relu == nullptr || relu->activation != Activation::relu || relu->into != Into::overwrite || !in_float(relu->types) ||
      norm == nullptr || !in_float(norm->types) || node.in[1] != rectifier.out[0])
    return std::nullopt;
  const Node* forward = norm_of(around.graph, node.in[3]);
  const bool alone =
      around.uses[static_cast<size_t>(rectifier.out[0])] == 1 && forward != nullptr && rectifies(around.graph, rectifier.in[0], *forward);
  using Mask = FusedNormBackward::Mask;
  const FusedNormBackward fused = {*norm, alone ? Mask::from_x : Mask::from_y};
  Claim claim{.nodes = 2, .name = "relu_backward+batch_norm_backward", .kernel = nullptr, .in = node.in, .out = node.out};
  claim.in[1] = rectifier.in[1];
  claim.in.push_back(alone ? forward->in[2] : rectifier.in[0]);
  if (!alone) claim.out.insert(claim.out.begin(), rectifier.out[0]);
  return NormMatch{fused, std::move(claim)};
}

}  // namespace

eigen::BatchNormRun run_of(const FusedNorm<BatchNormForward>& fused, const Buffers& buffers) { return forward_run_of(fused, buffers); }
eigen::BatchNormRun run_of(const FusedNorm<BatchNormInference>& fused, const Buffers& buffers) { return forward_run_of(fused, buffers); }

eigen::BatchNormGradient run_of(const FusedNormBackward& fused, const Buffers& buffers) {
  if (fused.mask == FusedNormBackward::Mask::from_x) {
    eigen::BatchNormGradient run = eigen::run_of(fused.norm, buffers);
    run.shift = input(buffers, 5);
    return run;
  }
  eigen::BatchNormGradient run = eigen::run_of(fused.norm, {buffers.in, {buffers.out.begin() + 1, buffers.out.end()}});
  run.y = input(buffers, 5);
  run.g = output(buffers, 0);
  return run;
}

std::optional<NormMatch> match_batch_norm(const Neighbours& around) {
  if (std::optional<NormMatch> training = match_forward<BatchNormForward>(around)) return training;
  if (std::optional<NormMatch> inference = match_forward<BatchNormInference>(around)) return inference;
  return match_backward(around);
}

std::optional<Claim> claim_batch_norm(const Neighbours& around, const Limits& limits) {
  std::optional<NormMatch> match = match_batch_norm(around);
  if (!match) return std::nullopt;
  match->claim.kernel = std::visit([&](const auto& fused) { return make_kernel(fused, limits); }, match->fused);
  return std::move(match->claim);
}

}  // namespace fovea::openmp
