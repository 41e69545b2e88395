#include "fovea/train/run.h"

#include <fmt/format.h>

#include "fovea/base/error.h"
#include "fovea/base/file.h"
#include "fovea/train/run_log.h"
#include "fovea/train/tuning_file.h"

namespace fovea::train {
namespace {

// Tells everything to two, the second of which may come later.
class Both final : public Callbacks {
 public:
  explicit Both(Callbacks& first) : first_(first) {}
  void add(Callbacks& second) { second_ = &second; }

  void on_start(const RunInfo& info) override { first_.on_start(info), second_->on_start(info); }
  void on_progress(const Progress& progress) override { first_.on_progress(progress), second_->on_progress(progress); }
  void on_epoch(const Epoch& epoch) override { first_.on_epoch(epoch), second_->on_epoch(epoch); }
  void on_note(const Note& note) override { first_.on_note(note), second_->on_note(note); }
  bool stop_requested() override { return first_.stop_requested(); }

 private:
  Callbacks none_;
  Callbacks& first_;
  Callbacks* second_ = &none_;
};

TrainResult train_in(const std::filesystem::path& folder, Trainer& trainer, RunLog& log) {
  try {
    TrainResult result = trainer.train();
    write_run(folder, trainer.recipe(), result);
    log.write(fmt::format("finished: test accuracy {:.4f}, weights of epoch {}", result.test.accuracy, result.kept_epoch));
    return result;
  } catch (const std::exception& error) {
    try {
      log.write(error.what());
    } catch (const Error&) {  // on a full disk: what ended the run counts more
    }
    throw;
  }
}

// What a run has measured: so that it measures nothing anew.
std::optional<Tuning> tuning_of_run(const std::filesystem::path& folder) {
  if (is_there(folder / tuning_file)) return read_tuning(folder / tuning_file);
  std::optional<LoadedCheckpoint> loaded = load_checkpoint(folder);
  return loaded ? std::move(loaded->checkpoint.tuning) : std::nullopt;
}

}  // namespace

FinishedRun start_run(const Recipe& recipe, Existing existing, Callbacks& callbacks) {
  Both watchers(callbacks);
  Trainer trainer(recipe, watchers);
  const std::filesystem::path folder = make_run_folder(recipe, existing);
  RunLog log(folder);
  log.clear();
  clear_run_folder(folder);
  write_tuning(folder, trainer.tuning());
  write_config(folder, trainer.recipe());
  watchers.add(log);
  trainer.save_in(folder);
  TrainResult result = train_in(folder, trainer, log);
  return {folder, trainer.recipe(), std::move(result)};
}

std::optional<FinishedRun> resume_run(const std::filesystem::path& folder, Callbacks& callbacks) {
  if (!is_there(folder / config_file))
    throw Error(ErrorId::no_run, fmt::format("`{}` holds no run: it has no {}", folder.string(), config_file))
        .help("name the folder that `fovea train` said it would leave its files in");
  if (is_there(folder / result_file)) return std::nullopt;
  Both watchers(callbacks);
  Trainer trainer(read_recipe(folder / config_file, {}), watchers, std::nullopt, nullptr, tuning_of_run(folder));
  RunLog log(folder);
  remove_temporary_files(folder);
  write_tuning(folder, trainer.tuning());
  watchers.add(log);
  trainer.save_in(folder);
  trainer.resume();
  TrainResult result = train_in(folder, trainer, log);
  return FinishedRun{folder, trainer.recipe(), std::move(result)};
}

}  // namespace fovea::train
