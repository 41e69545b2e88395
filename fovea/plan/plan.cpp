#include "fovea/plan/plan.h"

#include <fmt/format.h>

#include "fovea/base/clock.h"
#include "fovea/base/error.h"

namespace fovea::plan {

using graph::ValueId;

int64_t images_moved_on(const graph::Graph& graph) {
  const Update* update = graph.nodes.empty() ? nullptr : std::get_if<Update>(&graph.nodes.back().op);
  return update == nullptr ? 0 : update->images;
}

bool repeats(const graph::Graph& graph, std::span<const Step> steps) {
  constexpr size_t most_steps = 32;  // beyond that nothing is gained
  return steps.size() <= most_steps && images_moved_on(graph) > 0;
}

Plan::Plan(graph::Graph graph, std::vector<Step> steps, std::vector<Placement> placements, ArenaBytes bytes)
    : graph_(std::move(graph)), steps_(std::move(steps)), placements_(std::move(placements)), arena_bytes_(bytes) {}

int64_t Plan::macs() const {
  int64_t macs = 0;
  for (const Step& step : steps_) macs += step.macs;
  return macs;
}

size_t Plan::bytes_of(const Step& step) const {
  size_t bytes = 0;
  const auto add = [&](const std::vector<ValueId>& ids) {
    for (const ValueId id : ids)
      if (placement(id).where == Placement::Where::arena) bytes += placement(id).bytes;
  };
  add(step.in);
  add(step.out);
  return bytes;
}

void Plan::bind(const ArenaMemory& memory, const DeviceImages& images) {
  addresses_.resize(graph_.values.size());
  for (size_t id = 0; id < addresses_.size(); ++id) {
    const Placement& place = placement(static_cast<ValueId>(id));
    if (place.where == Placement::Where::arena) addresses_[id] = memory.base(place.arena) + place.offset;
    if (place.where == Placement::Where::data_set)
      addresses_[id] = static_cast<std::byte*>(graph_.values[id].role == graph::Role::pixels ? images.pixels : images.labels);
  }
  for (Step& step : steps_) {
    Buffers buffers;
    for (const ValueId id : step.in) buffers.in.push_back(tensor(id));
    for (const ValueId id : step.out) buffers.out.push_back(tensor(id));
    step.kernel->bind(std::move(buffers), memory.base(Arena::activations) + step.workspace_offset);
  }
}

Tensor Plan::tensor(ValueId id) const {
  const graph::Value& value = graph_.value(id);
  std::byte* address = addresses_.at(static_cast<size_t>(id));
  if (address == nullptr) throw Error(ExitCode::internal, fmt::format("the plan keeps no memory for `{}`", value.name));
  return {address, value.dtype, value.shape};
}

Tensor Plan::tensor(std::string_view name) const {
  const ValueId id = graph_.find(name);
  if (id == graph::no_value) throw Error(ExitCode::internal, fmt::format("the plan has no value `{}`", name));
  return tensor(id);
}

void Plan::run(Stream& stream, int64_t times) {
  const bool overlaps = repeats();
  for (int64_t run = 0; run < times; ++run)
    for (size_t i = 0; i < steps_.size(); ++i) {
      Kernel& kernel = *steps_[i].kernel;
      if (i == 0 && run > 0 && overlaps)
        kernel.run_early(stream);
      else
        kernel.run(stream);
    }
}

void Plan::run_timed(Stream& stream, std::span<double> seconds) {
  stream.synchronize();  // what is still under way is not the first step's
  Stopwatch watch;
  for (size_t i = 0; i < steps_.size(); ++i) {
    watch.restart();
    steps_[i].kernel->run(stream);
    stream.synchronize();
    seconds[i] += watch.seconds();
  }
}

}  // namespace fovea::plan
