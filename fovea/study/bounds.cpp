#include "fovea/study/bounds.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "fovea/backend/registry.h"
#include "fovea/study/op_cases.h"
#include "fovea/study/tolerance.h"
#include "fovea/study/value_diff.h"

namespace fovea::study {
namespace {

using graph::Node;
using graph::ValueId;

std::vector<float> magnitudes(std::span<const std::byte> bytes, DType dtype = DType::f32) {
  std::vector<float> values = floats_of(bytes, dtype);
  for (float& value : values) value = std::abs(value);
  return values;
}

std::vector<std::byte> bytes_of_floats(const std::vector<float>& values) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(values));
  return {bytes.begin(), bytes.end()};
}

bool is_activation(const Op& op) { return std::holds_alternative<ActivationForward>(op) || std::holds_alternative<ActivationBackward>(op); }

// Linear in each input, or a choice among them.
bool has_sums(const Op& op) {
  const Tolerance tolerance = tolerance_of(op);
  return !is_activation(op) && !std::holds_alternative<Score>(op) &&
         (tolerance.measure == Measure::absolute_sum || tolerance.relative == 0);
}

}  // namespace

Bounds::Bounds(const graph::Graph& graph, std::span<const Node> nodes, const Contents& before)
    : graph_(graph), before_(before), single_(nodes.size() == 1), reference_(open_backend("reference")) {
  for (const Node& node : nodes)
    if (!std::holds_alternative<Flatten>(node.op)) append(node);
}

void Bounds::append(const Node& node) {
  const std::vector<std::vector<float>> sums = has_sums(node.op) ? summed(node) : std::vector<std::vector<float>>();
  double largest = 0;
  for (size_t i = 0; i < node.out.size(); ++i) {
    Tolerance tolerance = tolerance_of(node.op, i);
    const DType dtype = graph_.value(node.out[i]).dtype;
    if (is_small_float(dtype)) tolerance.relative += unit_roundoff(dtype);  // both results are rounded, perhaps not to the same side
    largest = std::max(largest, tolerance.relative);
    Bound& bound = bounds_[graph_.storage_of(node.out[i])];
    bound = {.relative = relative_ + tolerance.relative,
             .floor = tolerance.floor,
             .least = smallest_normal(dtype),
             .of_largest = false,
             .sums = {}};
    if (i < sums.size()) bound.sums = sums[i];
    if (!has_sums(node.op) && !single_) bound.sums = passed_on(node, node.out[i]);
    bound.of_largest = bound.sums.empty() && (has_sums(node.op) || !single_);
  }
  relative_ += largest;
}

// What is known of the size of a value; nothing if neither the nodes before nor the caller say it.
std::optional<std::vector<float>> Bounds::sums_of(ValueId id) const {
  const ValueId storage = graph_.storage_of(id);
  if (const auto bound = bounds_.find(storage); bound != bounds_.end() && !bound->second.sums.empty()) return bound->second.sums;
  if (const auto known = before_.find(storage); known != before_.end() && !bounds_.contains(storage))
    return magnitudes(known->second, graph_.value(storage).dtype);
  return std::nullopt;
}

// The outputs for the absolute values of all inputs, in f32; empty where an input is not known.
std::vector<std::vector<float>> Bounds::summed(const Node& node) const {
  const Op op = graph::in_precision(node.op, graph::fp32);
  const KernelPtr kernel = make(*reference_, op, Limits{});
  std::vector<std::vector<std::byte>> memory;
  Buffers buffers;
  const auto place = [&](const graph::Type& type, std::vector<std::byte> content, std::vector<Tensor>& tensors) {
    content.resize(static_cast<size_t>(type.shape.elements()) * bytes_of(type.dtype));
    memory.push_back(std::move(content));
    tensors.push_back({memory.back().data(), type.dtype, type.shape});
  };
  const std::vector<graph::Type> in = graph::inputs_of(op), out = graph::outputs_of(op);
  for (size_t i = 0; i < in.size(); ++i) {
    if (in[i].dtype == DType::f32) {
      const std::optional<std::vector<float>> sums = sums_of(node.in[i]);
      if (!sums) return {};
      place(in[i], bytes_of_floats(*sums), buffers.in);
    } else {
      const auto known = before_.find(graph_.storage_of(node.in[i]));
      if (known == before_.end()) return {};
      place(in[i], known->second, buffers.in);
    }
  }
  for (size_t i = 0; i < out.size(); ++i) {
    const bool adds = adds_into_output(node.op) && i < node.out.size() && out[i].dtype == DType::f32;
    place(out[i], adds ? bytes_of_floats(sums_of(node.out[i]).value_or(std::vector<float>())) : std::vector<std::byte>(), buffers.out);
  }
  const std::vector<Tensor> results = buffers.out;
  std::vector<std::byte> workspace(kernel->workspace_bytes());
  kernel->bind(std::move(buffers), workspace.data());
  const std::unique_ptr<Stream> stream = reference_->device().make_stream();
  kernel->run(*stream);
  std::vector<std::vector<float>> sums;
  for (const Tensor& result : results)
    sums.push_back(result.dtype == DType::f32 ? magnitudes({static_cast<const std::byte*>(result.data), result.bytes()})
                                              : std::vector<float>());
  return sums;
}

// An activation's slope is at most about 1, so that errors of what it reads come through as they are. A batch norm scales them as it
// scales the values: what its result is measured by is its largest element.
std::vector<float> Bounds::passed_on(const Node& node, ValueId out) const {
  if (!is_activation(node.op)) return {};
  const int64_t elements = graph_.value(out).shape.elements();
  for (size_t i = node.in.size(); i-- > 0;) {
    const graph::Value& value = graph_.value(node.in[i]);
    if (!is_floating(value.dtype) || value.shape.elements() != elements) continue;
    if (std::optional<std::vector<float>> sums = sums_of(node.in[i])) return std::move(*sums);
  }
  return {};
}

std::vector<double> Bounds::of(ValueId id, std::span<const float> result) const {
  const Bound& bound = bounds_.at(graph_.storage_of(id));
  double largest = 0;
  if (bound.of_largest)
    for (const float value : result) largest = std::max(largest, std::abs(static_cast<double>(value)));
  std::vector<double> allowed(result.size());
  for (size_t i = 0; i < result.size(); ++i) {
    const double size = bound.floor + std::abs(static_cast<double>(result[i]));
    const double sum = bound.sums.empty() ? largest : static_cast<double>(bound.sums[i]);
    allowed[i] = bound.relative * std::max({sum, size, bound.least});
  }
  return allowed;
}

}  // namespace fovea::study
