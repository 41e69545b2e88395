#include "fovea/graph/precision.h"

#include <array>
#include <utility>

namespace fovea::graph {
namespace {

constexpr std::array<std::pair<std::string_view, Precision>, 5> precisions = {
    {{"fp32", fp32}, {"tf32", tf32}, {"bf16", bf16}, {"fp16", fp16}, {"fp64", fp64}}};

// One rule for each kind of operator; most read and write values, and what they have per channel are weights.
struct TypesOf {
  const Precision& p;

  Types product(DType w) const { return {p.values, w, p.values, p.weights, p.products}; }
  Types operator()(const Conv2dForward&) const { return product(p.values); }
  Types operator()(const Conv2dBackwardData&) const { return product(p.values); }
  Types operator()(const Conv2dBackwardFilter&) const { return product(p.weights); }
  Types operator()(const LinearForward&) const { return product(p.values); }
  Types operator()(const LinearBackwardData&) const { return product(p.values); }
  Types operator()(const LinearBackwardFilter&) const { return product(p.weights); }
  Types loss() const { return {p.values, p.weights, p.weights, p.weights}; }
  Types operator()(const SoftmaxCrossEntropyForward&) const { return loss(); }
  Types operator()(const SoftmaxCrossEntropyBackward&) const { return loss(); }
  Types operator()(const BinaryCrossEntropyForward&) const { return loss(); }
  Types operator()(const BinaryCrossEntropyBackward&) const { return loss(); }
  Types operator()(const Score&) const { return loss(); }
  Types operator()(const Update&) const { return loss(); }
  Types operator()(const GradientNorm&) const { return {p.weights, p.weights, p.weights, p.weights}; }
  Types operator()(const Convert&) const { return {p.weights, p.weights, p.values, p.weights}; }
  Types operator()(const auto&) const { return {p.values, p.weights, p.values, p.weights}; }
};

}  // namespace

std::optional<Precision> precision_named(std::string_view name) {
  for (const auto& [known, precision] : precisions)
    if (known == name && precision != fp64) return precision;
  return std::nullopt;
}

std::string_view name_of(const Precision& precision) {
  for (const auto& [name, known] : precisions)
    if (known == precision) return name;
  return "mixed";
}

Types types_of(const Op& op) {
  return std::visit(
      [](const auto& o) -> Types {
        if constexpr (requires { o.types; }) return o.types;
        if constexpr (requires { o.forward.types; }) return o.forward.types;
        if constexpr (requires { o.dtype; }) return {o.dtype, o.dtype, o.dtype, o.dtype};
        return {};
      },
      op);
}

Op in_precision(Op op, const Precision& precision) {
  std::visit(
      [&](auto& o) {
        const Types types = TypesOf{precision}(o);
        if constexpr (requires { o.types; }) o.types = types;
        if constexpr (requires { o.forward.types; }) o.forward.types = types;
        if constexpr (requires { o.dtype; }) o.dtype = types.x;
        if constexpr (requires { o.scaling; }) o.scaling = precision.scaling();
      },
      op);
  return op;
}

}  // namespace fovea::graph
