// Which runs of nodes this backend takes as one step: a convolution or a linear layer with its bias as one graph of cuDNN, where it has an
// engine for that, and of the claims of `cuda` those that do not take a product away from the libraries for nothing. A ReLU stays outside
// the graph: that every engine lets NaN through it is not shown.
#include <algorithm>

#include "fovea/backend/cudnn/backend.h"

namespace fovea::cudnn {
namespace {

using graph::Node;

Conv2dForward conv2d_of(const LinearForward& op) { return {images_of_one_pixel(op.shape), op.types}; }

bool reads_alone(const Neighbours& around, size_t i) {
  const graph::ValueId before = around.nodes[i - 1].out[0];
  return around.nodes[i].in[0] == before && around.uses[static_cast<size_t>(before)] == 1;
}

bool has_bias(const Neighbours& around) {
  return around.nodes.size() > 1 && std::holds_alternative<BiasForward>(around.nodes[1].op) && reads_alone(around, 1);
}

// Whether a convolution of these nodes is to be computed again by the claims of others, behind them: those are not taken here.
bool leaves_out_a_product(const Claim& claim, const Neighbours& around) {
  const std::span<const Node> nodes = around.nodes.first(claim.nodes);
  return std::any_of(nodes.begin(), nodes.end(), [&](const Node& node) {
    return std::holds_alternative<Conv2dForward>(node.op) && around.uses[static_cast<size_t>(node.out[0])] > 1 &&
           std::find(claim.out.begin(), claim.out.end(), node.out[0]) == claim.out.end();
  });
}

}  // namespace

std::optional<Claim> CudnnBackend::product_with_bias(const Neighbours& around, const Limits& limits) {
  const Node& first = around.nodes[0];
  const Conv2dForward* conv2d = std::get_if<Conv2dForward>(&first.op);
  const LinearForward* linear = std::get_if<LinearForward>(&first.op);
  if ((conv2d == nullptr && linear == nullptr) || !has_bias(around)) return std::nullopt;
  if (linear != nullptr && linear->types.products != Products::tf32) return std::nullopt;  // in f32 two to four times as slow as `cuda`
  const Chosen choice = chosen(Convolution(conv2d != nullptr ? *conv2d : conv2d_of(*linear), Convolution::Tail::bias), limits);
  if (!choice.engine) return std::nullopt;
  return Claim{.nodes = 2,
               .name = conv2d != nullptr ? "conv2d+bias" : "linear+bias",
               .kernel = make_kernel(choice),
               .in = {first.in[0], first.in[1], around.nodes[1].in[1]},
               .out = {around.nodes[1].out[0]}};
}

bool CudnnBackend::has_engine(const Op& op, const Limits& limits) {
  return std::visit(
      [&](const auto& product) {
        if constexpr (requires { Convolution(product); })
          return chosen(Convolution(product), limits).engine != nullptr;
        else if constexpr (requires { MatrixProduct(product); })
          return chosen(MatrixProduct(product), limits).engine != nullptr;
        else
          return false;
      },
      op);
}

// A claim of `cuda` with a product may spare its bias, and what follows, their passes over memory, where the libraries cannot: a product
// of 16 bits by itself, then a bias, then a ReLU takes about twice as long. One with several products would leave the libraries nothing.
bool CudnnBackend::is_left_to_cuda(std::span<const graph::Node> nodes, const Neighbours& around, const Limits& limits) {
  const auto products = std::count_if(nodes.begin(), nodes.end(), [&](const Node& node) { return has_engine(node.op, limits); });
  return products == 0 || (products == 1 && has_engine(nodes[0].op, limits) && has_bias(around));
}

std::optional<Claim> CudnnBackend::claim(const Neighbours& around, const Limits& limits) {
  if (std::optional<Claim> claim = product_with_bias(around, limits)) return claim;
  std::span<const Node> nodes = around.nodes;
  while (std::optional<Claim> claim = CudaBackend::claim({around.graph, nodes, around.uses}, limits)) {
    if (claim->nodes == 1) break;  // a product of `cuda` that the graph does not have
    if (!leaves_out_a_product(*claim, around) && is_left_to_cuda(around.nodes.first(claim->nodes), around, limits)) return claim;
    nodes = nodes.first(claim->nodes - 1);  // perhaps it takes less then
  }
  return std::nullopt;
}

}  // namespace fovea::cudnn
