#include "fovea/train/trainer.h"

#include <fmt/format.h>

#include <algorithm>

#include "fovea/backend/registry.h"
#include "fovea/base/error.h"
#include "fovea/base/thread.h"

namespace fovea::train {
namespace {

constexpr size_t training_plan = 0;
constexpr int64_t timed_every = 1024;            // steps between two whose parts are timed, which costs a clock read per part
constexpr double seconds_between_reports = 0.1;  // reading the metrics waits for the device

// With a backend that can compute as the recipe asks, before anything is read.
Recipe with_backend(Recipe recipe) {
  if (recipe.autotune == "across") expect_rivals();
  if (recipe.backend.empty()) {
    recipe.backend = default_backend();
    recipe.origin["backend"] = "the fastest of this machine";
  }
  require_precision(recipe.backend, recipe.precision);
  return recipe;
}

// Settings that depend on the machine or on the data.
void settle(Recipe& recipe, int64_t images) {
  if (recipe.threads == 0) {
    recipe.threads = usable_cores();
    recipe.origin["threads"] = "the cores of this machine";
  }
  if (recipe.batch > images) {
    recipe.batch = images;
    recipe.origin["batch"] = "all training images";
  }
  if (const int64_t most = recipe.batch == automatic_batch ? images : recipe.batch; recipe.micro_batches > most) {
    recipe.micro_batches = most;
    recipe.origin["micro_batches"] = "as many as images of the batch";
  }
}

}  // namespace

std::string default_backend() {
  std::string name;
  for (const BackendEntry& entry : list_backends())
    if (entry.purpose == Purpose::speed && entry.by_default == ByDefault::taken && entry.absent_because.empty()) name = entry.name;
  return name;
}

Trainer::Trainer(const Recipe& recipe, Callbacks& callbacks, SharedData own, std::unique_ptr<Backend> backend, std::optional<Tuning> kept)
    : recipe_(with_backend(recipe)),
      callbacks_(callbacks),
      network_(model::load_network(recipe.model)),
      data_(own ? std::move(own) : share_training_data(recipe)),
      backend_(std::move(backend)),
      plateau_(recipe),
      patience_(recipe.min_delta) {
  fit_network(network_, data_->dataset);
  settle(recipe_, data_->dataset.train.count);
  if (!backend_) backend_ = open_backend(recipe_.backend);
  autotune_ = std::make_unique<Autotune>(recipe_, *backend_, std::move(kept));
  if (!autotune_->warning().empty()) callbacks_.on_note({Note::Kind::warning, autotune_->warning()});
  memory_at_first_ = backend_->device().memory_status();
  make_plans();
  session_->write_weights(initial_weights(network_, static_cast<uint64_t>(recipe_.seed)));
}

Trainer::~Trainer() = default;

TrainResult Trainer::train() {
  start();
  while (!done()) epoch_is_trained() ? end_epoch() : static_cast<void>(advance(steps_per_epoch()));
  return finish();
}

void Trainer::start() {
  callbacks_.on_start(info());
  between_steps();
}

bool Trainer::done() const { return state_.epoch >= recipe_.epochs || state_.stopped == Stopped::early; }

TrainResult Trainer::finish() {
  if (saver_ && !saver_->has(state_)) save();
  if (recipe_.keep == "last") {
    state_.kept_epoch = state_.history.back().epoch;
    state_.kept = bytes_of(session_->read_weights(network_));
  }
  TrainResult result = tested();
  if (saver_) saver_->finish();
  return result;
}

Trained Trainer::advance(int64_t most_steps) {
  if (state_.position == 0) {
    session_->clear_metrics();
    state_.epoch_seconds = state_.data_seconds = state_.timed_seconds = 0;
  }
  seconds_before_ = state_.epoch_seconds;
  since_epoch_.restart();
  since_progress_.restart();
  const int64_t count = data_->dataset.train.count, from = state_.position, step = state_.step;
  while (state_.position < count && state_.step - step < most_steps) {
    train_steps(step + most_steps - state_.step);
    if (since_progress_.seconds() >= seconds_between_reports || state_.position == count) report();
    between_steps();
  }
  if (state_.position < count) look();
  return {state_.step - step, state_.position - from, state_.epoch_seconds - seconds_before_};
}

bool Trainer::epoch_is_trained() const { return state_.position == data_->dataset.train.count; }

void Trainer::end_epoch() {
  Epoch record = this->record();
  judge(record);
  callbacks_.on_epoch(record);
  between_steps();
}

double Trainer::time_steps(int64_t steps) {
  const int64_t full = data_->dataset.train.count / recipe_.batch;
  if (timed_steps_ == 0) session_->clear_metrics();
  session_->stream().synchronize();
  const Stopwatch watch;
  for (int64_t left = steps; left > 0;) {
    const int64_t place = timed_steps_ % full, count = std::min({left, full - place, session_->most_at_once(training_plan)});
    session_->write_control(control(place * recipe_.batch, recipe_.learning_rate));
    session_->run(training_plan, count);
    timed_steps_ += count;
    state_.step += count;
    left -= count;
  }
  state_.metrics = session_->read_metrics();
  const double seconds = watch.seconds();
  if (state_.metrics.non_finite > 0)
    throw Error(ErrorId::training_not_finite, fmt::format("a loss or a gradient is NaN or infinite after {} timed steps", timed_steps_))
        .help("a smaller learning_rate usually helps");
  return seconds;
}

// Its allocations are no late ones: they take the place of others.
void Trainer::relocate() {
  const int64_t before = backend_->device().memory_status().allocations;
  const auto excuse = [&] { memory_at_second_step_.allocations += backend_->device().memory_status().allocations - before; };
  try {
    session_->relocate();
  } catch (const Error&) {
    excuse();
    throw;
  }
  excuse();
}

int64_t Trainer::macs_per_step() const { return session_->plan(training_plan).macs(); }

std::map<std::string, int64_t> Trainer::steps_by_provider() const {
  std::map<std::string, int64_t> steps;
  for (const plan::Step& step : session_->plan(training_plan).steps()) ++steps[std::string(step.kernel->provider())];
  return steps;
}

size_t Trainer::bytes_per_step() const {
  const plan::Plan& plan = session_->plan(training_plan);
  size_t bytes = 0;
  for (const plan::Step& step : plan.steps()) bytes += plan.bytes_of(step);
  return bytes;
}

double Trainer::rate_at(int64_t step) const {
  return plateau_.share() * learning_rate(recipe_, step, recipe_.epochs * steps_per_epoch(), steps_per_epoch());
}

// Until the next one that is timed, of which each epoch has one at least; 0: this one is.
int64_t Trainer::steps_before_timed() const {
  const int64_t timed = std::min(timed_every, steps_per_epoch()) / 2, place = state_.position / recipe_.batch % timed_every;
  return timed >= place ? timed - place : timed + timed_every - place;
}

// Steps from this one on that nothing comes between: the same plan at the same rate, none timed, and nobody looks before they are done.
int64_t Trainer::steps_at_once(int64_t most) const {
  if (steps_here_ < 2) return 1;  // the first two are looked at
  const int64_t full = (data_->dataset.train.count - state_.position) / recipe_.batch;
  int64_t limit = std::min({most, session_->most_at_once(training_plan), steps_before_timed(), full});
  if (saver_) limit = std::min(limit, saver_->steps_before_due(state_));
  int64_t steps = 1;
  while (steps < limit && rate_at(state_.step + steps) == rate_at(state_.step)) ++steps;
  return steps;
}

void Trainer::train_steps(int64_t most) {
  const double rate = rate_at(state_.step);
  session_->write_control(control(state_.position, rate));
  const size_t index = plan_at(state_.position);
  const int64_t steps = steps_at_once(most);
  if (steps_before_timed() == 0) {
    run_timed(index);
  } else {
    session_->run(index, steps);
  }
  state_.learning_rate = rate;
  state_.position = std::min(state_.position + steps * recipe_.batch, data_->dataset.train.count);
  state_.step += steps;
  steps_here_ += steps;
  if (steps_here_ == 1) seconds_to_first_step_ = seconds_since_process_start();
  if (steps_here_ == 2) memory_at_second_step_ = backend_->device().memory_status();
}

void Trainer::judge(Epoch& record) {
  if (const data::Images* images = data_->validated()) {
    record.valid = evaluate_on(valid_plan_, *images);
    const double figure = watched_figure(recipe_, *record.valid);
    plateau_.observe(figure);
    patience_.observe(figure);
    if (recipe_.early_stopping > 0 && patience_.waited() >= recipe_.early_stopping && record.epoch < recipe_.epochs)
      state_.stopped = Stopped::early;
    if (figure > state_.best_figure) {
      state_.best_figure = figure;
      state_.best_epoch = record.epoch;
      if (recipe_.keep == "best") {
        state_.kept_epoch = record.epoch;
        state_.kept = bytes_of(session_->read_weights(network_));
      }
    }
  }
  state_.history.push_back(record);
  state_.train_seconds += record.seconds;
  ++state_.epoch;
  state_.position = 0;
}

Scores Trainer::evaluate_on(size_t plan, const data::Images& images) {
  return evaluate(*session_, plan, images.count, recipe_.batch, [&] {
    if (callbacks_.stop_requested()) stop();
  });
}

void Trainer::look() {
  state_.metrics = session_->read_metrics();
  state_.epoch_seconds = seconds_before_ + since_epoch_.seconds();
  if (state_.metrics.non_finite > 0) throw_non_finite();
}

void Trainer::report() {
  look();
  const Epoch so_far = record();
  const int64_t count = data_->dataset.train.count;
  const double images_left = static_cast<double>((recipe_.epochs - state_.epoch) * count - state_.position);
  callbacks_.on_progress({so_far.epoch, state_.position, count, so_far.train, so_far.images_per_second, so_far.data_share,
                          images_left / so_far.images_per_second});
  since_progress_.restart();
}

Epoch Trainer::record() const {
  Epoch record;
  record.epoch = state_.epoch + 1;
  record.learning_rate = state_.learning_rate;
  record.train = scores_of(state_.metrics);
  record.seconds = state_.epoch_seconds;
  record.images_per_second = static_cast<double>(state_.position) / record.seconds;
  record.data_share = state_.timed_seconds > 0 ? state_.data_seconds / state_.timed_seconds : 0;
  return record;
}

TrainResult Trainer::tested() {
  TrainResult result;
  result.info = info();
  result.history = state_.history;
  result.kept_epoch = state_.kept_epoch;
  result.best_epoch = state_.best_epoch;
  result.stopped = state_.stopped;
  result.model = model();
  result.model.weights = tensors_of(state_.kept, network_);
  session_->write_weights(result.model.weights);
  result.test = evaluate_on(test_plan_, data_->dataset.test);
  result.train_seconds = state_.train_seconds;
  result.images_per_second = static_cast<double>(std::ssize(result.history) * data_->dataset.train.count) / result.train_seconds;
  result.seconds_to_first_step = seconds_to_first_step_;
  const MemoryStatus memory = backend_->device().memory_status();
  result.device_bytes = memory_at_first_.free > memory.free ? memory_at_first_.free - memory.free : 0;
  result.late_allocations = steps_here_ > 2 ? memory.allocations - memory_at_second_step_.allocations : 0;
  result.launches = session_->launches(training_plan);
  return result;
}

SavedModel Trainer::model() const { return {network_, data_->preprocessing, data_->dataset.classes, recipe_.positive, {}}; }

StepControl Trainer::control(int64_t position, double rate) const {
  StepControl control;
  control.seed = static_cast<uint64_t>(recipe_.seed);
  control.position = static_cast<uint64_t>(position);
  control.images = static_cast<uint64_t>(data_->dataset.train.count);
  control.epoch = static_cast<uint32_t>(state_.epoch);
  control.step = static_cast<uint32_t>(state_.step);
  control.learning_rate = static_cast<float>(rate);
  return control;
}

size_t Trainer::plan_at(int64_t position) const {
  return position + recipe_.batch <= data_->dataset.train.count ? training_plan : remainder_plan_;
}

// The share of the data is measured on a sample of the steps.
void Trainer::run_timed(size_t index) {
  plan::Plan& plan = session_->plan(index);
  std::vector<double> seconds(plan.steps().size());
  plan.run_timed(session_->stream(), seconds);
  for (size_t i = 0; i < seconds.size(); ++i) {
    state_.timed_seconds += seconds[i];
    if (plan.steps()[i].name == data_node) state_.data_seconds += seconds[i];
  }
}

int64_t Trainer::steps_per_epoch() const { return (data_->dataset.train.count + recipe_.batch - 1) / recipe_.batch; }

// The flag has kept the weights as they were before the step that raised it: that step is run again, each part watched.
void Trainer::throw_non_finite() {
  const int64_t step = static_cast<int64_t>(state_.metrics.left_out) - 1;
  const int64_t position = (step - state_.epoch * steps_per_epoch()) * recipe_.batch;
  StepControl again = control(position, 0);
  again.step = static_cast<uint32_t>(step);
  session_->write_control(again);
  const auto found = session_->find_non_finite(plan_at(position));
  if (!found)
    throw Error(ErrorId::training_not_finite,
                fmt::format("a loss or a gradient of step {} is NaN or infinite, but not when the step is run again", step))
        .note("what gives other values each time may be the memory of this machine, or a fault of the backend `" + recipe_.backend + "`");
  throw Error(ErrorId::training_not_finite, plan::text_of(*found))
      .note(fmt::format("in epoch {}, step {} of the run, in `{}` ({})", state_.epoch + 1, step, found->value, found->step))
      .help("a smaller learning_rate usually helps; so do other initial weights or another normalisation");
}

RunInfo Trainer::info() const {
  const plan::Plan& plan = session_->plan(training_plan);
  RunInfo info;
  info.model = network_.name;
  info.data = data_->dataset.title;
  info.backend = recipe_.backend;
  info.device = backend_->device().name();
  info.precision = recipe_.precision;
  info.validation = data_->validation_text();
  for (const plan::Step& step : plan.steps()) info.threads = std::max(info.threads, step.kernel->threads());
  info.parameters = network_.parameter_elements();
  info.train_images = data_->dataset.train.count;
  info.test_images = data_->dataset.test.count;
  info.optimizer = recipe_.optimizer;
  info.seed = recipe_.seed;
  info.learning_rate = recipe_.learning_rate;
  info.epochs = recipe_.epochs;
  info.batch = recipe_.batch;
  info.predicted_bytes = session_->bytes();
  return info;
}

}  // namespace fovea::train
