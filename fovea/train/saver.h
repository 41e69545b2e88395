// Saves a run in its folder, when that is due and while training goes on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <future>

#include "fovea/base/clock.h"
#include "fovea/train/checkpoint.h"
#include "fovea/train/save_every.h"
#include "fovea/train/saved_model.h"

namespace fovea::train {

// What is known of a run before its first step.
struct RunPlace {
  std::filesystem::path folder;
  SaveEvery every;
  RunIdentity identity;
  SavedModel model;  // without its weights
};

class Saver {
 public:
  Saver(RunPlace place, Callbacks& callbacks);

  // Throws Error (data) unless the folder has room for what the run will write.
  void check_space(size_t checkpoint, size_t weights) const;

  // The state stands in the folder already.
  void take_note(const RunState& state);
  bool has(const RunState& state) const { return saved_step_ == state.step && saved_epoch_ == state.epoch; }

  bool due(const RunState& state);                        // never while the one before is being written; throws what went wrong with that
  int64_t steps_before_due(const RunState& state) const;  // at least 1: so many updates may be made without a look at `due`
  void save(Checkpoint checkpoint);                       // waits only for the one before
  void finish();                                          // waits until all is on the disk; throws what went wrong
  const std::filesystem::path& folder() const { return place_.folder; }
  const RunIdentity& identity() const { return place_.identity; }

 private:
  struct Written {
    int64_t step = 0;
    size_t bytes = 0;
    double seconds = 0;
  };

  bool is_busy() const;

  RunPlace place_;
  Callbacks& callbacks_;
  int64_t saved_step_ = 0, saved_epoch_ = 0, kept_epoch_ = 0;
  Stopwatch since_saved_;
  std::future<Written> writing_;  // last: its end waits for the thread, which uses the others
};

}  // namespace fovea::train
