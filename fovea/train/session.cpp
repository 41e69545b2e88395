#include "fovea/train/session.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "fovea/base/error.h"
#include "fovea/base/sha256.h"
#include "fovea/model/init.h"
#include "fovea/tensor/convert.h"

namespace fovea::train {
namespace {

constexpr int64_t most_steps_at_once = 16;  // as one recording

}  // namespace

Session::Session(plan::Assignment assignment, Switch replay)
    : assignment_(std::move(assignment)), device_(assignment_.backend->device()), stream_(device_.make_stream()), replay_(replay) {
  stream_->set(assignment_.dependent_launches);
}

const Session::Resident& Session::resident(const data::Images& images) {
  for (const Resident& known : residents_)
    if (known.images == &images) return known;
  residents_.push_back({&images, device_.resident(std::as_bytes(std::span(images.pixels)), *stream_),
                        device_.resident(std::as_bytes(std::span(images.labels)), *stream_)});
  return residents_.back();
}

void Session::hold(const data::Images& images) { resident(images); }

plan::Assignment Session::unmeasured() const {
  plan::Assignment assignment = assignment_;
  assignment.limits.tuning = nullptr;
  assignment.rivals.clear();
  return assignment;
}

size_t Session::arena_bytes_of(std::vector<graph::Graph> graphs, const std::vector<std::string>& order) const {
  const plan::Assignment assignment = unmeasured();
  plan::ArenaBytes bytes{};
  for (graph::Graph& graph : graphs) bytes = plan::largest(bytes, plan::compile(std::move(graph), assignment, order).arena_bytes());
  return plan::total(bytes);
}

plan::ArenaBytes Session::arenas() const {
  plan::ArenaBytes bytes{};
  for (const plan::Plan& plan : plans_) bytes = plan::largest(bytes, plan.arena_bytes());
  return bytes;
}

size_t Session::arena_bytes() const { return plan::total(arenas()); }

void Session::add(graph::Graph graph, const std::vector<std::string>& order, const data::Images& images) {
  order_ = order;
  plans_.push_back(plan::compile(std::move(graph), assignment_, order));
  const Resident& part = resident(images);
  images_of_plan_.push_back({part.pixels->data(), part.labels->data()});
}

void Session::drop_plans() {
  plans_.clear();
  images_of_plan_.clear();
}

void Session::place() {
  memory_ = std::make_unique<plan::ArenaMemory>(device_, arenas(), *stream_);
  const LossScale at_first;
  for (size_t i = 0; i < plans_.size(); ++i) {
    plans_[i].bind(*memory_, images_of_plan_[i]);
    if (const graph::ValueId loss_scale = plans_[i].graph().find(graph::loss_scale_name); loss_scale != graph::no_value)
      device_.upload(plans_[i].tensor(loss_scale).data, &at_first, sizeof at_first, *stream_);
    recordings_.push_back(recorded(plans_[i]));
  }
}

std::vector<Session::Recorded> Session::recorded(plan::Plan& plan) {
  std::vector<Recorded> all;
  if (replay_ == Switch::off) return all;
  for (const int64_t steps : {most_steps_at_once, most_steps_at_once / 4, int64_t{1}}) {
    if (steps > 1 && !plan.repeats()) continue;
    if (std::unique_ptr<Recording> recording = device_.record(*stream_, [&] { plan.run(*stream_, steps); }))
      all.push_back({steps, std::move(recording)});
  }
  return all;
}

void Session::relocate() {
  for (const std::vector<Recorded>& recordings : recordings_)
    if (!recordings.empty()) throw Error(ExitCode::internal, "a recorded plan cannot be moved: it is replayed at its addresses");
  auto other = std::make_unique<plan::ArenaMemory>(memory_->elsewhere(device_, *stream_));
  const auto bind_to = [&](const plan::ArenaMemory& memory) {
    for (size_t i = 0; i < plans_.size(); ++i) plans_[i].bind(memory, images_of_plan_[i]);
  };
  try {
    bind_to(*other);
  } catch (...) {
    other.reset();  // the memory that binding back may need
    try {
      bind_to(*memory_);
    } catch (const Error& error) {
      throw Error(ExitCode::internal, "the plans cannot be bound again to the memory that they had: " + error.message());
    }
    throw;
  }
  memory_ = std::move(other);
}

void Session::run(size_t plan, int64_t steps) {
  if (recordings_[plan].empty()) plans_[plan].run(*stream_, steps);
  int64_t left = steps;
  for (const Recorded& recorded : recordings_[plan])
    for (; left >= recorded.steps; left -= recorded.steps) recorded.recording->replay(*stream_);
  const int64_t images = plans_[plan].images_moved_on();
  device_has_control_ = images > 0;
  if (images > 0) control_ = control_.after(steps, images);
}

int64_t Session::most_at_once(size_t plan) const { return recordings_[plan].empty() ? 1 : recordings_[plan].front().steps; }

std::optional<plan::NonFinite> Session::find_non_finite(size_t index) {
  device_has_control_ = false;
  const std::optional<plan::NonFinite> found = plan::find_non_finite(plans_[index], device_, *stream_);
  if (!found || found->layers == 1) return found;
  plan::Assignment parts = unmeasured();
  parts.claims = plan::Claims::off;
  plan::Plan plan = plan::compile(plans_[index].graph(), parts, order_);
  const size_t activation_bytes = plan.arena_bytes()[static_cast<size_t>(plan::Arena::activations)];
  if (activation_bytes > device_.memory_status().free) return found;
  const plan::ArenaMemory memory(device_, *memory_, activation_bytes);
  plan.bind(memory, images_of_plan_[index]);
  const std::optional<plan::NonFinite> in_parts = plan::find_non_finite(plan, device_, *stream_);
  return in_parts ? in_parts : found;
}

size_t Session::launches(size_t plan) const { return recordings_[plan].empty() ? 0 : recordings_[plan].back().recording->steps(); }

size_t Session::held_bytes() const {
  size_t bytes = 0;
  for (const Resident& part : residents_) bytes += part.pixels->bytes() + part.labels->bytes();
  return bytes;
}

size_t Session::bytes() const { return plan::total(memory_->bytes()) + held_bytes(); }

void Session::write_control(const StepControl& control) {
  const bool held = device_has_control_ && control == control_;
  control_ = control;
  device_has_control_ = false;
  if (!held) device_.upload(plans_[0].tensor("control").data, &control, sizeof control, *stream_);
}

void Session::clear_metrics() { device_.fill(plans_[0].tensor("metrics").data, std::byte{0}, sizeof(Metrics), *stream_); }

Metrics Session::read_metrics() {
  Metrics metrics;
  device_.download(&metrics, plans_[0].tensor("metrics").data, sizeof metrics, *stream_);
  stream_->synchronize();
  return metrics;
}

void Session::write_metrics(const Metrics& metrics) {
  device_.upload(plans_[0].tensor("metrics").data, &metrics, sizeof metrics, *stream_);
}

graph::ValueId Session::average_of(const std::string& parameter) const { return plans_[0].graph().find(parameter + ".average"); }

void Session::write_weights(const std::vector<io::NamedTensor>& weights) {
  for (const io::NamedTensor& weight : weights) {
    const Tensor to = plans_[0].tensor(weight.name);
    if (to.shape != weight.shape || to.dtype != weight.dtype)
      throw Error(ErrorId::foreign_weights,
                  "weights `" + weight.name + "` have the shape " + weight.shape.text() + ", but the network's have " + to.shape.text());
    device_.upload(to.data, weight.bytes.data(), weight.bytes.size(), *stream_);
    write_working_copy(weight.name, weight.dtype, weight.bytes);
    if (const graph::ValueId average = average_of(weight.name); average != graph::no_value)
      device_.upload(plans_[0].tensor(average).data, weight.bytes.data(), weight.bytes.size(), *stream_);
  }
}

void Session::write_working_copy(const std::string& parameter, DType dtype, std::span<const std::byte> bytes) {
  const graph::ValueId copy = plans_[0].graph().find(parameter + std::string(graph::working_suffix));
  if (copy == graph::no_value || plans_[0].graph().value(copy).role != graph::Role::working) return;
  const Tensor to = plans_[0].tensor(copy);
  device_.upload(to.data, converted(bytes, dtype, to.dtype).data(), to.bytes(), *stream_);
}

std::vector<io::NamedTensor> Session::read_weights(const model::Network& network) {
  std::vector<io::NamedTensor> weights;
  for (const model::Parameter& parameter : network.parameters) {
    const graph::ValueId average = average_of(parameter.name);
    const Tensor from = average != graph::no_value ? plans_[0].tensor(average) : plans_[0].tensor(parameter.name);
    weights.push_back({parameter.name, from.dtype, from.shape, std::vector<std::byte>(from.bytes())});
    device_.download(weights.back().bytes.data(), from.data, from.bytes(), *stream_);
  }
  stream_->synchronize();
  return weights;
}

std::vector<graph::ValueId> Session::lasting_values() const {
  using graph::Role;
  std::vector<graph::ValueId> lasting;
  const std::vector<graph::Value>& values = plans_[0].graph().values;
  for (size_t id = 0; id < values.size(); ++id)
    if (values[id].role == Role::parameter || values[id].role == Role::running || values[id].role == Role::state ||
        values[id].role == Role::average)
      lasting.push_back(static_cast<graph::ValueId>(id));
  return lasting;
}

std::vector<StateTensor> Session::read_state() {
  std::vector<StateTensor> state;
  for (const graph::ValueId id : lasting_values()) {
    const Tensor from = plans_[0].tensor(id);
    state.push_back({plans_[0].graph().value(id).name, std::vector<std::byte>(from.bytes())});
    device_.download(state.back().bytes.data(), from.data, from.bytes(), *stream_);
  }
  stream_->synchronize();
  return state;
}

size_t Session::state_bytes() const {
  size_t bytes = 0;
  for (const graph::ValueId id : lasting_values()) bytes += plans_[0].tensor(id).bytes();
  return bytes;
}

void Session::write_state(const std::vector<StateTensor>& state) {
  const std::vector<graph::ValueId> lasting = lasting_values();
  if (state.size() != lasting.size())
    throw Error(ErrorId::bad_checkpoint, fmt::format("the run keeps {} tensors from step to step, not {}", lasting.size(), state.size()));
  for (size_t i = 0; i < state.size(); ++i) {
    const Tensor to = plans_[0].tensor(lasting[i]);
    const std::string& name = plans_[0].graph().value(lasting[i]).name;
    if (state[i].name != name || state[i].bytes.size() != to.bytes())
      throw Error(ErrorId::bad_checkpoint,
                  fmt::format("the run needs `{}` of {} bytes, not `{}` of {}", name, to.bytes(), state[i].name, state[i].bytes.size()));
    device_.upload(to.data, state[i].bytes.data(), to.bytes(), *stream_);
    if (plans_[0].graph().value(lasting[i]).role == graph::Role::parameter) write_working_copy(name, to.dtype, state[i].bytes);
  }
  stream_->synchronize();
}

Scores scores_of(const Metrics& metrics) {
  if (metrics.counted == 0) return {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::quiet_NaN(), 0};
  const double counted = static_cast<double>(metrics.counted);
  return {metrics.loss_sum / counted, static_cast<double>(metrics.correct) / counted, static_cast<int64_t>(metrics.counted)};
}

namespace {

StepControl control_at(int64_t position, int64_t count) {
  StepControl control;
  control.images = static_cast<uint64_t>(count);
  control.position = static_cast<uint64_t>(position);
  return control;
}

[[noreturn]] void throw_non_finite(Session& session, size_t plan, int64_t count, int64_t batch) {
  constexpr const char* remedy = "train with a smaller learning_rate, other initial weights or another normalisation";
  for (int64_t position = 0; position < count; position += batch) {
    session.write_control(control_at(position, count));
    if (const auto found = session.find_non_finite(plan))
      throw Error(ErrorId::evaluation_not_finite, plan::text_of(*found))
          .note(fmt::format("in an evaluation, on images {} to {} of {}, in `{}` ({})", position, std::min(position + batch, count) - 1,
                            count, found->value, found->step))
          .help(remedy);
  }
  throw Error(ErrorId::evaluation_not_finite, "a loss under evaluation is NaN or infinite").help(remedy);
}

}  // namespace

Scores evaluate(Session& session, size_t plan, int64_t count, int64_t batch, const std::function<void()>& after_batch) {
  session.clear_metrics();
  for (int64_t position = 0; position < count; position += batch) {
    session.write_control(control_at(position, count));
    session.run(plan);
    after_batch();
  }
  const Metrics metrics = session.read_metrics();
  session.clear_metrics();
  if (metrics.non_finite > 0) throw_non_finite(session, plan, count, batch);
  return scores_of(metrics);
}

std::vector<io::NamedTensor> initial_weights(const model::Network& network, uint64_t seed) {
  std::vector<io::NamedTensor> weights;
  for (const model::Parameter& parameter : network.parameters) {
    io::NamedTensor weight{parameter.name, DType::f32, parameter.shape, {}};
    weight.bytes.resize(static_cast<size_t>(parameter.shape.elements()) * bytes_of(DType::f32));
    model::draw_weights(parameter, seed, {weight.bytes.data(), weight.dtype, weight.shape});
    weights.push_back(std::move(weight));
  }
  return weights;
}

std::vector<StateTensor> bytes_of(const std::vector<io::NamedTensor>& weights) {
  std::vector<StateTensor> tensors;
  for (const io::NamedTensor& weight : weights) tensors.push_back({weight.name, weight.bytes});
  return tensors;
}

std::vector<io::NamedTensor> tensors_of(const std::vector<StateTensor>& weights, const model::Network& network) {
  std::vector<io::NamedTensor> tensors;
  for (const StateTensor& weight : weights) {
    const model::Parameter* parameter = tensors.size() < network.parameters.size() ? &network.parameters[tensors.size()] : nullptr;
    if (parameter == nullptr || weight.name != parameter->name ||
        weight.bytes.size() != static_cast<size_t>(parameter->shape.elements()) * bytes_of(DType::f32))
      throw Error(ErrorId::bad_checkpoint,
                  fmt::format("the weights `{}` of {} bytes are none of the network's", weight.name, weight.bytes.size()));
    tensors.push_back({weight.name, DType::f32, parameter->shape, weight.bytes});
  }
  return tensors;
}

std::string weights_sha256(const std::vector<io::NamedTensor>& weights) {
  std::vector<std::byte> bytes;
  for (const io::NamedTensor& weight : weights) bytes.insert(bytes.end(), weight.bytes.begin(), weight.bytes.end());
  return sha256(bytes);
}

}  // namespace fovea::train
