// How a run is saved between two steps, and goes on from there.
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "fovea/base/error.h"
#include "fovea/train/trainer.h"
#include "fovea/train/tuning_file.h"

namespace fovea::train {
namespace {

bool is_finite(const StateTensor& tensor) {
  const std::span<const float> values(reinterpret_cast<const float*>(tensor.bytes.data()), tensor.bytes.size() / sizeof(float));
  uint32_t largest = 0;  // without the signs, as bits: NaN and infinity are the largest
  for (const float value : values) largest = std::max(largest, std::bit_cast<uint32_t>(value) & 0x7fffffffu);
  return largest < 0x7f800000;
}

}  // namespace

void Trainer::save_in(const std::filesystem::path& folder) {
  saver_ = std::make_unique<Saver>(RunPlace{folder, save_every(recipe_.save_every), run_identity(recipe_, network_, *data_), model()},
                                   callbacks_);
  const size_t weights = static_cast<size_t>(network_.parameter_elements()) * bytes_of(DType::f32);
  saver_->check_space(session_->state_bytes() + (recipe_.keep == "best" ? weights : 0), weights);
}

void Trainer::between_steps() {
  if (callbacks_.stop_requested()) stop();
  if (saver_ && saver_->due(state_)) save();
}

void Trainer::save() {
  if (0 < state_.position && state_.position < data_->dataset.train.count) look();
  state_.plateau = plateau_.state();
  state_.patience = patience_.state;
  std::vector<StateTensor> tensors = session_->read_state();
  for (const StateTensor& tensor : tensors)
    if (!is_finite(tensor))
      throw Error(ErrorId::training_not_finite, fmt::format("`{}` holds NaN or infinite values after {} updates", tensor.name, state_.step))
          .note("the checkpoints saved before stay as they are")
          .help("a smaller learning_rate usually helps; so do other initial weights or another normalisation");
  std::optional<Tuning> measured;
  if (!tuning().choices().empty()) measured = tuning();
  saver_->save({saver_->identity(), state_, std::move(tensors), std::move(measured)});
}

void Trainer::stop() {
  Error stopped(ExitCode::requeue,
                fmt::format("stopped in epoch {} after {} updates, as asked", std::min(state_.epoch + 1, recipe_.epochs), state_.step));
  if (saver_) {
    if (!saver_->has(state_)) save();
    saver_->finish();
    stopped.help(fmt::format("`fovea train --resume {}` goes on", saver_->folder().string()));
  }
  throw stopped;
}

void Trainer::resume() {
  const std::optional<LoadedCheckpoint> loaded = load_checkpoint(saver_->folder());
  if (!loaded) {
    callbacks_.on_note({Note::Kind::resumed, "no checkpoint was saved: starting with step 0"});
    return;
  }
  if (!loaded->warning.empty()) callbacks_.on_note({Note::Kind::warning, loaded->warning});
  restore(loaded->checkpoint, loaded->file.string());
  callbacks_.on_note({Note::Kind::resumed, fmt::format("going on from {}: epoch {}, after step {}", loaded->file.string(),
                                                       std::min(state_.epoch + 1, recipe_.epochs), state_.step)});
}

void Trainer::check_same_choices(const Tuning& saved, const std::string& file) const {
  for (const auto& [problem, choice] : saved.choices())
    if (const Tuning::Choice* now = tuning().find(problem); now == nullptr || now->taken != choice.taken)
      throw Error(ErrorId::foreign_checkpoint, fmt::format("the checkpoint has chosen `{}`, where {} has `{}`", choice.taken, tuning_file,
                                                           now == nullptr ? "nothing" : now->taken))
          .at(file)
          .note(problem)
          .help(fmt::format("remove {}: the checkpoint holds what the run has chosen", (saver_->folder() / tuning_file).string()));
}

void Trainer::restore(const Checkpoint& checkpoint, const std::string& file) {
  check_same_run(checkpoint.identity, saver_->identity(), file);
  if (checkpoint.tuning && autotune_->warning().empty()) check_same_choices(*checkpoint.tuning, file);
  const RunState& state = checkpoint.state;
  const int64_t images = data_->dataset.train.count;
  const bool whole_batches = state.position % recipe_.batch == 0 || state.position == images;
  if (state.epoch < 0 || state.epoch > recipe_.epochs || state.position < 0 || state.position > images || !whole_batches ||
      state.step != state.epoch * steps_per_epoch() + (state.position + recipe_.batch - 1) / recipe_.batch ||
      std::ssize(state.history) != state.epoch)
    throw Error(ErrorId::bad_checkpoint,
                fmt::format("the checkpoint is after update {} in epoch {} with {} of {} images and a history of {} epochs, "
                            "which does not fit together",
                            state.step, state.epoch + 1, state.position, images, state.history.size()))
        .at(file);
  try {
    if (!state.kept.empty() && state.kept.size() != network_.parameters.size())
      throw Error(ErrorId::bad_checkpoint,
                  fmt::format("the checkpoint keeps {} tensors of {}", state.kept.size(), network_.parameters.size()));
    tensors_of(state.kept, network_);  // throws
    session_->write_state(checkpoint.tensors);
  } catch (Error& error) {
    throw error.at(file);
  }
  session_->write_metrics(state.metrics);
  state_ = state;
  plateau_.restore(state.plateau);
  patience_.state = state.patience;
  saver_->take_note(state_);
}

}  // namespace fovea::train
