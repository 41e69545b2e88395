#include "fovea/train/trainer.h"

#include <fmt/format.h>

#include <algorithm>

#include "fovea/backend/registry.h"
#include "fovea/base/error.h"
#include "fovea/base/thread.h"
#include "fovea/plan/inspect.h"

namespace fovea::train {
namespace {

constexpr size_t training_plan = 0;
constexpr int64_t timed_every = 256;             // steps between two whose parts are timed, which costs a clock read per part
constexpr double seconds_between_reports = 0.1;  // reading the metrics waits for the device

}  // namespace

std::string default_backend() {
  std::string name;
  for (const BackendEntry& entry : list_backends())
    if (entry.purpose == Purpose::speed && entry.absent_because.empty()) name = entry.name;
  return name;
}

Trainer::Trainer(const Recipe& recipe, Callbacks& callbacks, std::optional<data::Dataset> own)
    : recipe_(recipe),
      callbacks_(callbacks),
      network_(model::load_network(recipe.model)),
      data_(own ? prepare(recipe, std::move(*own), network_) : load_training_data(recipe, network_)),
      plateau_(recipe),
      patience_(recipe.min_delta) {
  if (recipe_.backend.empty()) recipe_.backend = default_backend();
  if (recipe_.threads == 0) recipe_.threads = usable_cores();
  recipe_.batch = std::min(recipe_.batch, data_.dataset.train.count);
  recipe_.micro_batches = std::min(recipe_.micro_batches, recipe_.batch);
  backend_ = open_backend(recipe_.backend);
  memory_at_first_ = backend_->device().memory_status();
  make_plans();
  session_->write_weights(initial_weights(network_, static_cast<uint64_t>(recipe_.seed)));
}

// One plan for full batches, one for the last partial batch, and one for each set of images to evaluate on.
void Trainer::make_plans() {
  plan::Assignment assignment;
  assignment.backend = backend_.get();
  assignment.limits.threads = static_cast<int>(recipe_.threads);
  assignment.claims = recipe_.claims == Switch::on ? plan::Claims::on : plan::Claims::off;
  session_ = std::make_unique<Session>(assignment, recipe_.replay);

  const data::Images& images = data_.dataset.train;
  const auto training = [&](int64_t batch) {
    return training_graph(network_, recipe_, data_.preprocessing,
                          {.images = images.count, .batch = batch, .class_weights = data_.class_weights});
  };
  graph::Graph full = training(recipe_.batch);
  const std::vector<std::string> order = parameter_order(full), averaged = averaged_parameters(full);
  size_t plans = 0;
  session_->add(std::move(full), order, images);
  if (const int64_t remainder = images.count % recipe_.batch; remainder > 0) {
    session_->add(training(remainder), order, images);
    remainder_plan_ = ++plans;
  }
  const auto evaluation = [&](const data::Images& part) {
    session_->add(evaluation_graph(network_, data_.preprocessing, {.images = part.count, .batch = recipe_.batch, .averaged = averaged}),
                  order, part);
    return ++plans;
  };
  test_plan_ = evaluation(data_.dataset.test);
  valid_plan_ = data_.validation == Validation::split ? evaluation(data_.valid) : test_plan_;
  session_->place();
}

TrainResult Trainer::train() {
  TrainResult result;
  result.info = info();
  callbacks_.on_start(result.info);

  for (int64_t epoch = 0; epoch < recipe_.epochs && result.stopped == Stopped::at_the_end; ++epoch) {
    Epoch record = train_epoch(epoch);
    judge(record, result);
    result.history.push_back(record);
    callbacks_.on_epoch(record);
  }
  if (recipe_.keep == "last") {
    result.kept_epoch = result.history.back().epoch;
    result.model.weights = session_->read_weights(network_);
  }

  session_->write_weights(result.model.weights);
  result.test = evaluate(*session_, test_plan_, data_.dataset.test.count, recipe_.batch);
  result.train_seconds = train_seconds_;
  result.images_per_second = static_cast<double>(std::ssize(result.history) * data_.dataset.train.count) / train_seconds_;
  result.seconds_to_first_step = seconds_to_first_step_;
  const MemoryStatus memory = backend_->device().memory_status();
  result.device_bytes = memory_at_first_.free > memory.free ? memory_at_first_.free - memory.free : 0;
  result.late_allocations = step_ > 2 ? memory.allocations - memory_at_second_step_.allocations : 0;
  result.launches = session_->launches(training_plan);
  result.model.network = network_;
  result.model.preprocessing = data_.preprocessing;
  result.model.classes = data_.dataset.classes;
  result.model.positive = recipe_.positive;
  return result;
}

void Trainer::judge(Epoch& record, TrainResult& result) {
  const data::Images* images = data_.validated();
  if (images == nullptr) return;
  record.valid = evaluate(*session_, valid_plan_, images->count, recipe_.batch);
  const double figure = watched_figure(recipe_, *record.valid);
  plateau_.observe(figure);
  patience_.observe(figure);
  if (recipe_.early_stopping > 0 && patience_.waited() >= recipe_.early_stopping && record.epoch < recipe_.epochs)
    result.stopped = Stopped::early;
  if (figure <= best_figure_) return;
  best_figure_ = figure;
  result.best_epoch = record.epoch;
  if (recipe_.keep != "best") return;
  result.kept_epoch = record.epoch;
  result.model.weights = session_->read_weights(network_);
}

Epoch Trainer::train_epoch(int64_t epoch) {
  const int64_t count = data_.dataset.train.count;
  Epoch record;
  record.epoch = epoch + 1;
  session_->clear_metrics();
  data_seconds_ = timed_seconds_ = 0;
  since_epoch_.restart();
  since_progress_.restart();
  int64_t checked = 0;  // images whose losses are known to be finite
  for (int64_t position = 0; position < count; position += recipe_.batch) {
    record.learning_rate = train_step(epoch, position);
    const int64_t done = std::min(position + recipe_.batch, count);
    if (since_progress_.seconds() < seconds_between_reports && done < count) continue;
    const Metrics metrics = session_->read_metrics();
    if (metrics.non_finite > 0) throw_non_finite(epoch, checked, done);
    checked = done;
    record.train = scores_of(metrics);
    record.seconds = since_epoch_.seconds();
    record.images_per_second = static_cast<double>(done) / record.seconds;
    record.data_share = timed_seconds_ > 0 ? data_seconds_ / timed_seconds_ : 0;
    const double images_left = static_cast<double>((recipe_.epochs - epoch) * count - done);
    callbacks_.on_progress(
        {record.epoch, done, count, record.train, record.images_per_second, record.data_share, images_left / record.images_per_second});
    since_progress_.restart();
  }
  train_seconds_ += record.seconds;
  return record;
}

double Trainer::train_step(int64_t epoch, int64_t position) {
  const double rate = plateau_.share() * learning_rate(recipe_, step_, recipe_.epochs * steps_per_epoch(), steps_per_epoch());
  session_->write_control(control(epoch, position, rate));
  const size_t index = plan_at(position);
  if (position / recipe_.batch % timed_every == std::min(timed_every, steps_per_epoch()) / 2) {  // at least one in each epoch
    run_timed(index);
  } else {
    session_->run(index);
  }
  if (step_ == 1) memory_at_second_step_ = backend_->device().memory_status();
  if (++step_ == 1) seconds_to_first_step_ = seconds_since_process_start();
  return rate;
}

StepControl Trainer::control(int64_t epoch, int64_t position, double rate) const {
  StepControl control;
  control.seed = static_cast<uint64_t>(recipe_.seed);
  control.position = static_cast<uint64_t>(position);
  control.images = static_cast<uint64_t>(data_.dataset.train.count);
  control.epoch = static_cast<uint32_t>(epoch);
  control.step = static_cast<uint32_t>(step_);
  control.learning_rate = static_cast<float>(rate);
  return control;
}

size_t Trainer::plan_at(int64_t position) const {
  return position + recipe_.batch <= data_.dataset.train.count ? training_plan : remainder_plan_;
}

// The share of the data is measured on a sample of the steps.
void Trainer::run_timed(size_t index) {
  plan::Plan& plan = session_->plan(index);
  std::vector<double> seconds(plan.steps().size());
  plan.run_timed(session_->stream(), seconds);
  for (size_t i = 0; i < seconds.size(); ++i) {
    timed_seconds_ += seconds[i];
    if (plan.steps()[i].name == data_node) data_seconds_ += seconds[i];
  }
}

int64_t Trainer::steps_per_epoch() const { return (data_.dataset.train.count + recipe_.batch - 1) / recipe_.batch; }

// The flag has kept the weights as they were before the step that raised it: the steps since the last look are run again, each part
// watched.
void Trainer::throw_non_finite(int64_t epoch, int64_t first, int64_t last) {
  const int64_t first_step = step_ - (last - first + recipe_.batch - 1) / recipe_.batch;
  for (int64_t position = first; position < last; position += recipe_.batch) {
    StepControl again = control(epoch, position, 0);
    again.step = static_cast<uint32_t>(first_step + (position - first) / recipe_.batch);
    session_->write_control(again);
    if (const auto found = plan::find_non_finite(session_->plan(plan_at(position)), backend_->device(), session_->stream()))
      throw Error(ExitCode::numeric,
                  fmt::format("layer `{}` gives {} values that are NaN or infinite, of {}", found->layer, found->count, found->elements))
          .note(fmt::format("in epoch {}, step {} of the run, in `{}` ({})", epoch + 1, first_step + (position - first) / recipe_.batch,
                            found->value, found->step))
          .help("a smaller learning_rate usually helps; so do other initial weights or another normalisation");
  }
  throw Error(ExitCode::internal, "a loss was NaN or infinite, but the same steps run again show none");
}

RunInfo Trainer::info() const {
  const plan::Plan& plan = session_->plan(training_plan);
  RunInfo info;
  info.model = network_.name;
  info.data = data_.dataset.title;
  info.backend = recipe_.backend;
  info.device = backend_->device().name();
  info.validation = data_.validation_text();
  for (const plan::Step& step : plan.steps()) info.threads = std::max(info.threads, step.kernel->threads());
  info.parameters = network_.parameter_elements();
  info.train_images = data_.dataset.train.count;
  info.test_images = data_.dataset.test.count;
  info.epochs = recipe_.epochs;
  info.batch = recipe_.batch;
  info.predicted_bytes = session_->bytes();
  return info;
}

}  // namespace fovea::train
