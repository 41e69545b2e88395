#include "fovea/graph/work.h"

#include <array>

#include "fovea/graph/graph.h"

namespace fovea::graph {

bool adds_into(const Op& op, size_t output) {
  if (std::holds_alternative<Score>(op) || std::holds_alternative<Update>(op)) return true;
  if (const BatchNormBackward* norm = std::get_if<BatchNormBackward>(&op))
    return std::array{norm->into, norm->into_scale, norm->into_shift}[output] == Into::add;
  return std::visit(
      [](const auto& o) {
        if constexpr (requires { o.into; }) return o.into == Into::add;
        return false;
      },
      op);
}

int64_t bytes_of(const Op& op) {
  if (std::holds_alternative<Flatten>(op)) return 0;  // a view
  if (const Augment* augment = std::get_if<Augment>(&op); augment != nullptr && augment->images != augment->n) {
    Augment of_what_it_reads = *augment;
    of_what_it_reads.images = augment->n;
    return bytes_of(of_what_it_reads);
  }
  const auto bytes = [](const Type& type) { return type.shape.elements() * static_cast<int64_t>(fovea::bytes_of(type.dtype)); };
  int64_t total = 0;
  for (const Type& type : inputs_of(op)) total += bytes(type);
  const std::vector<Type> out = outputs_of(op);
  for (size_t i = 0; i < out.size(); ++i) total += (adds_into(op, i) ? 2 : 1) * bytes(out[i]);
  return total;
}

}  // namespace fovea::graph
