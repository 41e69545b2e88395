#include "fovea/study/contestant.h"

#include <fmt/format.h>

#include <algorithm>

#include "fovea/base/error.h"
#include "fovea/train/apply.h"
#include "fovea/train/memory_limit.h"

namespace fovea::study {
namespace {

constexpr double warm_up_seconds = 0.05, warm_up_share = 0.1;  // of the training, whichever ends it first
constexpr double settling_share = 0.1;                         // of a turn: caches, clocks and threads are still those of the row before
constexpr double steps_that_settle = 0.05;                     // seconds: so long a step needs no other one in front of it

constexpr size_t most_moved = 256 << 20;  // bytes: more have many places at once

// Images by their label and by what the model takes them for.
std::vector<std::vector<int64_t>> confusion_of(const train::SavedModel& model, const data::Images& images, const train::RunOn& where) {
  const std::vector<float> all = train::probabilities(model, images, where);
  const size_t classes = model.classes.size();
  std::vector<std::vector<int64_t>> counts(classes, std::vector<int64_t>(classes));
  for (size_t i = 0; i < images.labels.size(); ++i) {
    if (images.labels[i] == data::ignored_label) continue;
    const auto row = all.begin() + static_cast<std::ptrdiff_t>(i * classes);
    const auto said = std::max_element(row, row + static_cast<std::ptrdiff_t>(classes)) - row;
    ++counts[static_cast<size_t>(images.labels[i])][static_cast<size_t>(said)];
  }
  return counts;
}

}  // namespace

class Contestant::Watcher final : public train::Callbacks {
 public:
  Watcher(Findings& findings, CompareWatcher& above) : findings_(findings), above_(above) {}
  void on_epoch(const train::Epoch& epoch) override {
    std::vector<EpochRecord>& epochs = findings_.runs.back().epochs;
    EpochRecord record;
    record.epoch = epoch.epoch;
    record.seconds = epoch.seconds;
    record.end_seconds = epoch.seconds + (epochs.empty() ? 0 : epochs.back().end_seconds);
    record.train_loss = epoch.train.loss;
    record.train_accuracy = epoch.train.accuracy;
    if (epoch.valid) {
      record.valid_loss = epoch.valid->loss;
      record.valid_accuracy = epoch.valid->accuracy;
    }
    epochs.push_back(record);
  }
  void on_note(const train::Note& note) override {
    if (note.kind == train::Note::Kind::warning) warn(note.text);
  }
  // Once, not with every seed.
  void warn(const std::string& text) {
    std::vector<std::string>& known = findings_.warnings;
    if (std::find(known.begin(), known.end(), text) != known.end()) return;
    known.push_back(text);
    above_.on_warning(fmt::format("{}: {}", findings_.entry.id, text));
  }
  bool stop_requested() override { return above_.stop_requested(); }

 private:
  Findings& findings_;
  CompareWatcher& above_;
};

Contestant::Contestant(Findings& findings, const train::Recipe& recipe, train::SharedData data, const Surroundings& surroundings)
    : findings_(findings), surroundings_(surroundings), watcher_(std::make_unique<Watcher>(findings, surroundings.watcher)) {
  const double before = surroundings_.sampler.look().host_bytes;
  findings_.data = data;
  std::unique_ptr<Backend> backend = surroundings_.watcher.backend_of(findings_.entry);
  if (surroundings_.trains)
    run_ = std::make_unique<train::OpenRun>(recipe, train::Existing::overwrite, *watcher_, std::move(data), std::move(backend));
  else
    trainer_ = std::make_unique<train::Trainer>(recipe, *watcher_, std::move(data), std::move(backend));
  on_host_ = trainer().device().name() == make_host_device()->name();
  device_free_before_ = static_cast<double>(trainer().memory_at_first().free);
  grown_bytes_ = surroundings_.sampler.look().host_bytes - before;
  findings_.info = trainer().info();
  findings_.predicted_bytes = static_cast<double>(findings_.info.predicted_bytes);
  findings_.flops_per_step = 2 * static_cast<double>(trainer().macs_per_step());
  if (const int64_t images = findings_.info.train_images; findings_.entry.batch > images)
    watcher_->warn(fmt::format("batch {} is larger than the {} training images: its steps have {} images", findings_.entry.batch, images,
                               findings_.info.batch));
  findings_.providers = trainer().steps_by_provider();
  findings_.bytes_per_step = static_cast<double>(trainer().bytes_per_step());
  SeedRun run;
  run.seed = recipe.seed;
  findings_.runs.push_back(std::move(run));
  findings_.windows.emplace_back();
  findings_.images.push_back(0);
}

Contestant::~Contestant() = default;

train::Trainer& Contestant::trainer() { return run_ ? run_->trainer() : *trainer_; }

int64_t Contestant::steps_left() const {
  const train::Trainer& trainer = run_ ? run_->trainer() : *trainer_;
  return trainer.recipe().epochs * trainer.steps_per_epoch() - steps_;
}

bool Contestant::done() const {
  if (finished_ || !run_) return finished_;
  const std::vector<EpochRecord>& epochs = findings_.runs.back().epochs;
  const bool reached = surroundings_.target_accuracy && !epochs.empty() && *epochs.back().valid_accuracy >= *surroundings_.target_accuracy;
  return (reached && !run_->trainer().epoch_is_trained()) || run_->trainer().done();
}

// A stretch of computing: its window, and by how much the process grew.
void Contestant::watched(const std::function<void()>& compute) {
  const Moment begin = surroundings_.sampler.look();
  compute();
  const Moment end = surroundings_.sampler.look();
  findings_.windows.back().push_back({begin.seconds, end.seconds});
  grown_bytes_ += end.host_bytes - begin.host_bytes;
  const double images =
      static_cast<double>(findings_.data ? findings_.data->dataset.train.pixels.size() + findings_.data->valid.pixels.size() +
                                               findings_.data->dataset.test.pixels.size()
                                         : 0);
  findings_.host_bytes = std::max(findings_.host_bytes, grown_bytes_ + images);
}

void Contestant::warm_up() {
  Slice none;
  if (run_) {
    run_->trainer().start();
    train(none, 1, 0);
    const int64_t most = std::max<int64_t>(2, static_cast<int64_t>(warm_up_share * static_cast<double>(steps_left())));
    for (double seconds = 0; seconds < warm_up_seconds && !done() && steps_ < most;) {
      const double before = trained_seconds_;
      const int64_t steps = std::clamp<int64_t>(steps_ - 1, 1, most - steps_), steps_before = steps_;
      train(none, steps, 0);
      seconds = trained_seconds_ - before;
      seconds_per_step_ = seconds / static_cast<double>(std::max<int64_t>(1, steps_ - steps_before));
    }
    if (done()) finish();
  } else {
    watched([&] {
      trainer_->time_steps(1);
      int64_t steps = 1;
      double seconds = 0;
      for (; seconds < warm_up_seconds; steps *= 2) seconds = trainer_->time_steps(steps);
      seconds_per_step_ = seconds / (static_cast<double>(steps) / 2);
    });
    findings_.windows.back().pop_back();  // its images are not counted either
  }
  if (!on_host_)
    findings_.device_bytes =
        std::max(findings_.device_bytes.value_or(0), device_free_before_ - static_cast<double>(trainer().device().memory_status().free));
}

int64_t Contestant::settling_steps(int64_t steps) const {
  if (seconds_per_step_ >= steps_that_settle || steps < 2) return 0;
  return std::max<int64_t>(1, static_cast<int64_t>(settling_share * static_cast<double>(steps)));
}

// Those of the first `settling` steps do not count for the slice.
void Contestant::train(Slice& slice, int64_t steps, int64_t settling) {
  train::Trainer& trainer = run_->trainer();
  const auto advance = [&](int64_t most) {
    const train::Trained trained = trainer.advance(most);
    steps -= trained.steps;
    steps_ += trained.steps;
    trained_seconds_ += trained.seconds;
    findings_.images.back() += trained.images;
    return trained;
  };
  while (steps > 0 && !done()) {
    watched([&] {
      if (settling > 0) settling -= advance(std::min(steps, settling)).steps;
      if (settling > 0 || steps == 0 || trainer.epoch_is_trained()) return;
      const train::Trained trained = advance(steps);
      slice.images += trained.images;
      slice.seconds += trained.seconds;
      timed_steps_ += trained.steps;
    });
    if (trainer.epoch_is_trained()) trainer.end_epoch();
  }
}

// What a step takes depends on where its memory lies, by a percent and sometimes by ten, for as long as it lies there: so every turn has
// another place, and rounds are a sample of places, too. (Curtsinger and Berger: "STABILIZER: statistically sound performance evaluation",
// 2013.)
void Contestant::move() {
  if (!on_host_) return;
  const size_t bytes = trainer().arena_bytes();
  std::string why = bytes > most_moved ? fmt::format("more than {} have many places at once", train::memory_text(most_moved))
                                       : trainer().no_room_to_move();
  if (why.empty()) {
    try {
      return trainer().relocate();
    } catch (const Error& error) {
      if (error.code() != ExitCode::memory) throw;
      why = error.message();
    }
  }
  if (findings_.stayed.empty()) findings_.stayed = fmt::format("its memory of {} did not move: {}", train::memory_text(bytes), why);
}

void Contestant::train_turn(int64_t round, int64_t steps) {
  move();
  Slice slice;
  slice.round = round;
  train(slice, steps, settling_steps(steps));
  note(slice);
  if (done()) finish();
}

void Contestant::speed_turn(int64_t round, int64_t steps) {
  move();
  Slice slice;
  slice.round = round;
  watched([&] {
    const int64_t settling = settling_steps(steps + 1);
    if (settling > 0) trainer().time_steps(settling);
    slice.seconds = trainer().time_steps(steps);
    slice.images = steps * trainer().recipe().batch;
    if (!run_) findings_.images.back() += (settling + steps) * trainer().recipe().batch;
  });
  if (run_) {
    findings_.windows_of_speed.push_back(findings_.windows.back().back());
    findings_.windows.back().pop_back();
  }
  timed_steps_ += steps;
  note(slice);
}

void Contestant::note(Slice slice) {
  if (slice.images == 0) return;
  slice.ms_per_step = 1e3 * slice.seconds / static_cast<double>(slice.images) * static_cast<double>(trainer().recipe().batch);
  findings_.runs.back().slices.push_back(slice);
  ++findings_.runs.back().rounds;
}

void Contestant::finish() {
  finished_ = true;
  const train::TrainResult result = run_->finish();
  SeedRun& run = findings_.runs.back();
  run.train_seconds = result.train_seconds;
  const train::Epoch& kept = result.history[static_cast<size_t>(result.kept_epoch - 1)];
  findings_.kept_train.push_back(kept.train.accuracy);
  if (kept.valid) findings_.kept_valid.push_back(kept.valid->accuracy);
  findings_.tested.push_back(result.test.accuracy);
  if (surroundings_.target_accuracy)
    for (const EpochRecord& epoch : run.epochs)
      if (*epoch.valid_accuracy >= *surroundings_.target_accuracy) {
        findings_.seconds_to_target.push_back(epoch.end_seconds);
        break;
      }
  if (findings_.runs.size() == 1)
    run.confusion = confusion_of(result.model, findings_.data->dataset.test,
                                 {findings_.entry.backend, static_cast<int>(result.info.threads), result.info.batch});
}

}  // namespace fovea::study
