// Trains a network as a recipe says.
#pragma once

#include "fovea/base/clock.h"
#include "fovea/train/callbacks.h"
#include "fovea/train/recipe.h"
#include "fovea/train/saved_model.h"
#include "fovea/train/schedule.h"
#include "fovea/train/training_data.h"

namespace fovea::train {

enum class Stopped : uint8_t { at_the_end, early };

struct TrainResult {
  RunInfo info;
  std::vector<Epoch> history;
  int64_t kept_epoch = 0;  // whose weights are in `model`, from 1
  int64_t best_epoch = 0;  // by the watched figure; 0 without validation
  Stopped stopped = Stopped::at_the_end;
  Scores test;               // of those weights
  double train_seconds = 0;  // evaluation not counted
  double images_per_second = 0;
  double seconds_to_first_step = 0;  // from the start of the process
  size_t device_bytes = 0;           // by which the device's free memory fell
  int64_t late_allocations = 0;      // of device memory, after the second step
  size_t launches = 0;               // kernels, copies and fills of a recorded step; 0 if steps are not recorded
  SavedModel model;
};

class Trainer {
 public:
  // Reads data and network, makes and places the plans. `own`: instead of the data that the recipe names.
  Trainer(const Recipe& recipe, Callbacks& callbacks, std::optional<data::Dataset> own = std::nullopt);
  TrainResult train();
  const Recipe& recipe() const { return recipe_; }  // with backend, threads and batch as they are used

 private:
  void make_plans();
  Epoch train_epoch(int64_t epoch);
  double train_step(int64_t epoch, int64_t position);  // returns the learning rate
  void judge(Epoch& record, TrainResult& result);      // validates, keeps weights
  void run_timed(size_t plan);
  [[noreturn]] void throw_non_finite(int64_t epoch, int64_t first, int64_t last);

  RunInfo info() const;
  StepControl control(int64_t epoch, int64_t position, double rate) const;
  size_t plan_at(int64_t position) const;
  int64_t steps_per_epoch() const;

  Recipe recipe_;
  Callbacks& callbacks_;
  model::Network network_;
  TrainingData data_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Session> session_;
  size_t remainder_plan_ = 0, valid_plan_ = 0, test_plan_ = 0;

  MemoryStatus memory_at_first_, memory_at_second_step_;
  Plateau plateau_;
  Patience patience_;
  double best_figure_ = -std::numeric_limits<double>::infinity();
  int64_t step_ = 0;
  double train_seconds_ = 0, seconds_to_first_step_ = 0;
  double data_seconds_ = 0, timed_seconds_ = 0;  // of the steps of this epoch that were timed
  Stopwatch since_progress_, since_epoch_;
};

std::string default_backend();  // the fastest that this machine has

}  // namespace fovea::train
