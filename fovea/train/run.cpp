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

using Ending = TrainResult (Trainer::*)();

// `end`: what is left to do.
TrainResult end_in(const std::filesystem::path& folder, Trainer& trainer, RunLog& log, Ending end) {
  try {
    TrainResult result = (trainer.*end)();
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

class OpenRun::Content {
 public:
  Content(const Recipe& recipe, Existing existing, Callbacks& callbacks, SharedData data, std::unique_ptr<Backend> backend)
      : watchers(callbacks),
        trainer(recipe, watchers, std::move(data), std::move(backend)),
        folder(make_run_folder(recipe, existing)),
        log(folder) {
    log.clear();
    clear_run_folder(folder);
    write_tuning(folder, trainer.tuning());
    write_config(folder, trainer.recipe());
    watchers.add(log);
  }

  Both watchers;
  Trainer trainer;
  std::filesystem::path folder;
  RunLog log;
};

OpenRun::OpenRun(const Recipe& recipe, Existing existing, Callbacks& callbacks, SharedData data, std::unique_ptr<Backend> backend)
    : content_(std::make_unique<Content>(recipe, existing, callbacks, std::move(data), std::move(backend))) {}
OpenRun::~OpenRun() = default;
Trainer& OpenRun::trainer() { return content_->trainer; }
const std::filesystem::path& OpenRun::folder() const { return content_->folder; }
TrainResult OpenRun::train() { return end_in(content_->folder, content_->trainer, content_->log, &Trainer::train); }
TrainResult OpenRun::finish() { return end_in(content_->folder, content_->trainer, content_->log, &Trainer::finish); }

FinishedRun start_run(const Recipe& recipe, Existing existing, Callbacks& callbacks) {
  OpenRun run(recipe, existing, callbacks);
  run.trainer().save_in(run.folder());
  TrainResult result = run.train();
  return {run.folder(), run.trainer().recipe(), std::move(result)};
}

std::optional<FinishedRun> resume_run(const std::filesystem::path& folder, Callbacks& callbacks) {
  if (!is_there(folder / config_file))
    throw Error(ErrorId::no_run, fmt::format("`{}` holds no run: it has no {}", folder.string(), config_file))
        .help("name the folder that `fovea train` said it would leave its files in");
  if (is_there(folder / result_file)) return std::nullopt;
  Both watchers(callbacks);
  Trainer trainer(read_recipe(folder / config_file, {}), watchers, nullptr, nullptr, tuning_of_run(folder));
  RunLog log(folder);
  remove_temporary_files(folder);
  write_tuning(folder, trainer.tuning());
  watchers.add(log);
  trainer.save_in(folder);
  trainer.resume();
  TrainResult result = end_in(folder, trainer, log, &Trainer::train);
  return FinishedRun{folder, trainer.recipe(), std::move(result)};
}

}  // namespace fovea::train
