// Trains a network as a recipe says.
#pragma once

#include "fovea/base/clock.h"
#include "fovea/train/autotune.h"
#include "fovea/train/callbacks.h"
#include "fovea/train/recipe.h"
#include "fovea/train/run_state.h"
#include "fovea/train/saved_model.h"
#include "fovea/train/saver.h"
#include "fovea/train/training_data.h"

namespace fovea::train {

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

struct Trained {
  int64_t steps = 0, images = 0;
  double seconds = 0;  // evaluation not counted
};

class Trainer {
 public:
  // Reads data and network, makes and places the plans. `own` and `backend`: instead of what the recipe names. `kept`: what the run that
  // goes on has measured.
  Trainer(const Recipe& recipe, Callbacks& callbacks, SharedData own = nullptr, std::unique_ptr<Backend> backend = nullptr,
          std::optional<Tuning> kept = std::nullopt);
  ~Trainer();

  // From now on checkpoints are kept in `folder`: as often as save_every says, when the run is asked to stop, and when all epochs are done.
  void save_in(const std::filesystem::path& folder);
  // Goes on from the newest checkpoint in that folder; without one, from the start. Throws Error (data) if it is of another run.
  void resume();

  TrainResult train();  // throws Error (requeue) if a callback asks it to stop

  // The same in pieces, so that several trainers can take turns: start; advance until the epoch is trained, and end_epoch, until all is
  // done; finish. After the end of any epoch one may finish.
  void start();
  bool done() const;
  Trained advance(int64_t most_steps);  // not beyond the epoch
  bool epoch_is_trained() const;
  void end_epoch();  // validates
  TrainResult finish();

  // For a measurement of speed alone, in the place of a training or behind it: so many full batches, each a step as in training. Waits for
  // them; seconds.
  double time_steps(int64_t steps);

  // On the host: the same training goes on at other addresses. What a step takes depends on them. Where it throws Error (memory), it goes
  // on where it was.
  void relocate();
  size_t arena_bytes() const { return session_->arena_bytes(); }  // that are moved
  std::string no_room_to_move() const;                            // why they cannot lie there twice for that time; empty: they can

  RunInfo info() const;
  int64_t macs_per_step() const;
  std::map<std::string, int64_t> steps_by_provider() const;  // of the plan of training: whose kernels run
  size_t bytes_per_step() const;                             // read and written by the steps of the plan, each by itself
  Device& device() { return backend_->device(); }
  const MemoryStatus& memory_at_first() const { return memory_at_first_; }  // before anything was allocated
  int64_t steps_per_epoch() const;
  const Recipe& recipe() const { return recipe_; }  // with backend, threads and batch as they are used
  const Tuning& tuning() const { return autotune_->tuning(); }

 private:
  void make_plans();
  void add_plans(const std::vector<std::string>& order);
  std::vector<graph::Graph> graphs(int64_t batch) const { return graphs(batch, recipe_); }
  std::vector<graph::Graph> graphs(int64_t batch, const Recipe& recipe) const;  // in the order of the plans
  struct Room {
    size_t bytes = 0;
    std::string why;  // not more: "allowed by memory_limit"
  };
  Room room_beside(size_t held) const;  // bytes of this run
  Room room_for_plans() const;
  enum class Fit : uint8_t { yes, too_large, no_batch_of_this_network };
  Fit fit(int64_t batch, const std::vector<std::string>& order, const Room& room) const;
  void choose_batch(const std::vector<std::string>& order, const Room& room);
  std::string fits_with_recompute(const std::vector<std::string>& order, const Room& room) const;
  // `needed`: bytes. Before anything is allocated for it.
  [[noreturn]] void refuse_batch(size_t needed, const std::vector<std::string>& order, const Room& room) const;
  double rate_at(int64_t step) const;
  int64_t steps_before_timed() const;
  int64_t steps_at_once(int64_t most) const;
  void train_steps(int64_t most);  // as many as may run at once
  void judge(Epoch& record);       // validates, keeps weights
  Scores evaluate_on(size_t plan, const data::Images& images);
  void look();  // at the metrics
  void report();
  Epoch record() const;  // of this epoch so far
  void run_timed(size_t plan);
  [[noreturn]] void throw_non_finite();

  void between_steps();  // saves what is due, and stops
  void save();
  void restore(const Checkpoint& checkpoint, const std::string& file);
  void check_same_choices(const Tuning& saved, const std::string& file) const;
  [[noreturn]] void stop();

  SavedModel model() const;  // without weights
  TrainResult tested();
  StepControl control(int64_t position, double rate) const;
  size_t plan_at(int64_t position) const;

  Recipe recipe_;
  Callbacks& callbacks_;
  model::Network network_;
  SharedData data_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Autotune> autotune_;
  std::unique_ptr<Session> session_;
  size_t remainder_plan_ = 0, valid_plan_ = 0, test_plan_ = 0;  // 0: there is none of its own

  RunState state_;  // but for these two, until it is saved
  Plateau plateau_;
  Patience patience_;
  int64_t steps_here_ = 0;     // updates by this process
  int64_t timed_steps_ = 0;    // by time_steps
  double seconds_before_ = 0;  // of this epoch, in processes before this one
  double seconds_to_first_step_ = 0;
  MemoryStatus memory_at_first_, memory_at_second_step_;
  Stopwatch since_progress_, since_epoch_;
  std::unique_ptr<Saver> saver_;
};

std::string default_backend();  // the fastest that this machine has

}  // namespace fovea::train
