#include "fovea/train/saver.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "fovea/base/error.h"
#include "fovea/base/file.h"
#include "fovea/train/run_folder.h"

namespace fovea::train {
namespace {

void save_kept(const RunPlace& place, const RunState& state) {
  SavedModel model = place.model;
  model.weights = tensors_of(state.kept, model.network);
  save_model(place.folder / best_weights, model);
}

}  // namespace

Saver::Saver(RunPlace place, Callbacks& callbacks) : place_(std::move(place)), callbacks_(callbacks) {}

void Saver::check_space(size_t checkpoint, size_t weights) const {
  const uint64_t there = free_bytes(place_.folder);
  uint64_t needed = 3 * static_cast<uint64_t>(checkpoint) + 2 * static_cast<uint64_t>(weights);  // the newest is written beside both others
  for (const char* name : {last_checkpoint, previous_checkpoint, best_weights}) {
    std::error_code none;
    const uint64_t bytes = std::filesystem::file_size(place_.folder / name, none);
    if (!none) needed -= std::min<uint64_t>(bytes, needed);
  }
  if (needed <= there) return;
  throw Error(ErrorId::no_room,
              fmt::format("the run needs {:.1f} MiB for its checkpoints, but `{}` has room for {:.1f} MiB",
                          static_cast<double>(needed) / (1 << 20), place_.folder.string(), static_cast<double>(there) / (1 << 20)))
      .note(
          fmt::format("a checkpoint takes {:.1f} MiB; two are kept while the next is written", static_cast<double>(checkpoint) / (1 << 20)))
      .help("make room, or name another folder with --out");
}

bool Saver::is_busy() const { return writing_.valid() && writing_.wait_for(std::chrono::seconds(0)) != std::future_status::ready; }

bool Saver::due(const RunState& state) {
  if (is_busy()) return false;
  finish();
  switch (place_.every.unit) {
    case SaveEvery::Unit::never:
      return false;
    case SaveEvery::Unit::steps:
      return static_cast<double>(state.step - saved_step_) >= place_.every.amount;
    case SaveEvery::Unit::epochs:
      return static_cast<double>(state.epoch - saved_epoch_) >= place_.every.amount;
    case SaveEvery::Unit::seconds:
      return since_saved_.seconds() >= place_.every.amount;
  }
  return false;
}

int64_t Saver::steps_before_due(const RunState& state) const {
  if (place_.every.unit != SaveEvery::Unit::steps) return std::numeric_limits<int64_t>::max();
  return std::max<int64_t>(1, static_cast<int64_t>(std::ceil(place_.every.amount)) - (state.step - saved_step_));
}

void Saver::take_note(const RunState& state) {
  saved_step_ = state.step, saved_epoch_ = state.epoch;
  since_saved_.restart();
}

void Saver::save(Checkpoint checkpoint) {
  finish();
  take_note(checkpoint.state);
  const bool better = checkpoint.state.kept_epoch != kept_epoch_;
  kept_epoch_ = checkpoint.state.kept_epoch;
  writing_ = std::async(std::launch::async, [this, better, checkpoint = std::move(checkpoint)] {
    const Stopwatch watch;
    const RunState& state = checkpoint.state;
    const size_t bytes = write_checkpoint(place_.folder, checkpoint);
    replace_file(place_.folder / history_file, history_csv(state.history, state.best_epoch));
    if (better) save_kept(place_, state);
    return Written{state.step, bytes, watch.seconds()};
  });
}

void Saver::finish() {
  if (!writing_.valid()) return;
  const Written written = writing_.get();
  callbacks_.on_note(
      {Note::Kind::saved, fmt::format("saved {} after step {}: {:.1f} MiB in {:.2f} s", (place_.folder / last_checkpoint).string(),
                                      written.step, static_cast<double>(written.bytes) / (1 << 20), written.seconds)});
}

}  // namespace fovea::train
