#include "fovea/plan/inspect.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "fovea/graph/recompute.h"
#include "fovea/tensor/convert.h"

namespace fovea::plan {
namespace {

int64_t count_non_finite_of(const Tensor& tensor, Device& device, Stream& stream) {
  if (!is_floating(tensor.dtype)) return 0;
  std::vector<std::byte> bytes(tensor.bytes());
  device.download(bytes.data(), tensor.data, bytes.size(), stream);
  stream.synchronize();
  std::vector<double> values(static_cast<size_t>(tensor.shape.elements()));
  widen({bytes.data(), tensor.dtype, tensor.shape}, values);
  return std::count_if(values.begin(), values.end(), [](double value) { return !std::isfinite(value); });
}

// Of the node that writes the value: a claim stands for several layers.
std::string layer_of(const Plan& plan, const Step& step, graph::ValueId id) {
  for (size_t i = step.first_node; i < step.first_node + step.nodes; ++i) {
    const graph::Node& node = plan.graph().nodes[i];
    if (std::find(node.out.begin(), node.out.end(), id) != node.out.end()) return std::string(graph::layer_of(node));
  }
  return step.name;
}

size_t layers_of(const Plan& plan, const Step& step) {
  std::set<std::string_view> names;
  for (size_t i = step.first_node; i < step.first_node + step.nodes; ++i) names.insert(graph::layer_of(plan.graph().nodes[i]));
  return names.size();
}

}  // namespace

std::string text_of(const NonFinite& found) {
  const std::string fused = found.first == found.layer ? "" : fmt::format(" (in one step with `{}`)", found.first);
  return fmt::format("layer `{}`{} gives {} values that are NaN or infinite, of {}", found.layer, fused, found.count, found.elements);
}

std::optional<NonFinite> find_non_finite(Plan& plan, Device& device, Stream& stream) {
  for (const Step& step : plan.steps()) {
    step.kernel->run(stream);
    for (const graph::ValueId id : step.out) {
      const Tensor tensor = plan.tensor(id);
      if (const int64_t count = count_non_finite_of(tensor, device, stream); count > 0)
        return NonFinite{step.name, layers_of(plan, step),  layer_of(plan, step, id), step.what, plan.graph().value(id).name,
                         count,     tensor.shape.elements()};
    }
  }
  return std::nullopt;
}

}  // namespace fovea::plan
