// In which types a network is computed, and what that makes of the types of each operator.
#pragma once

#include <optional>
#include <string_view>

#include "fovea/graph/op.h"

namespace fovea::graph {

// `values`: activations, their gradients and logits, and the working copies of filters and matrices that products read where the two
// differ. `weights`: parameters, their gradients and moments, what batch norms keep per channel, losses; and sums on their way.
struct Precision {
  DType values = DType::f32, weights = DType::f32;
  Products products = Products::exact;

  bool has_working_copies() const { return values != weights; }
  Scaling scaling() const { return values == DType::fp16 ? Scaling::dynamic : Scaling::none; }  // of the loss
  bool operator==(const Precision&) const = default;
};
inline constexpr Precision fp32 = {}, tf32 = {DType::f32, DType::f32, Products::tf32}, bf16 = {DType::bf16, DType::f32},
                           fp16 = {DType::fp16, DType::f32}, fp64 = {DType::f64, DType::f64};

// "fp32", "tf32", "bf16" or "fp16"; nothing else has a name for users.
std::optional<Precision> precision_named(std::string_view name);
std::string_view name_of(const Precision& precision);

Op in_precision(Op op, const Precision& precision);  // the operator with its types and scaling set
Types types_of(const Op& op);                        // all of one type for a reorder; those of a flatten do not matter

}  // namespace fovea::graph
