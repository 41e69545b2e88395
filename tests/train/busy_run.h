// A tiny run in which everything that a step could depend on is switched on, in a folder, stopped when a test wants it.
#pragma once

#include <fmt/format.h>

#include "fovea/base/file.h"
#include "fovea/train/run.h"
#include "tests/train/tiny_run.h"

namespace fovea::train {

// Asks the run to stop when it has been asked so many times whether it wants that; counts.
struct StopAt final : Callbacks {
  explicit StopAt(int64_t question = -1) : stop_at(question) {}
  bool stop_requested() override { return asked++ == stop_at; }
  void on_note(const Note& note) override {
    saved += note.kind == Note::Kind::saved;
    if (note.kind == Note::Kind::warning) warning = note.text;
  }

  int64_t stop_at, asked = 0, saved = 0;
  std::string warning;
};

class BusyRun : public TinyRun {
 public:
  BusyRun() {
    plant("all.toml", R"(name = "all"
input = [8, 8, 1]
layers = [
  { conv2d = 4, kernel = 3, batch_norm = true, activation = "relu" },
  { dropout = 0.2 },
  { max_pool = 2 },
  { flatten = true },
  { linear = 8, activation = "relu" },
  { dropout = 0.5 },
  { linear = 4 },
]
)");
    recipe.model = path("all.toml").string();
    recipe.epochs = 3;
    recipe.micro_batches = 2;
    recipe.optimizer = "adam";
    recipe.learning_rate = 0.01;
    recipe.schedule = "plateau";
    recipe.plateau_patience = 1;
    recipe.warmup_epochs = 1;
    recipe.ema_decay = 0.9;
    recipe.clip_norm = 1;
    recipe.valid = "0.3";
    recipe.keep = "best";
    recipe.mirror = Switch::on;
    recipe.crop_padding = 1;
    recipe.save_every = "2 steps";
  }

  // Starts the run in this folder, or goes on with it.
  std::optional<FinishedRun> run(const std::string& name, Callbacks& callbacks) {
    recipe.out = path(name).string();
    if (std::filesystem::exists(path(name) / config_file)) return resume_run(path(name), callbacks);
    return start_run(recipe, Existing::refuse, callbacks);
  }
  std::optional<FinishedRun> run(const std::string& name) {
    StopAt never;
    return run(name, never);
  }
};

// All that does not depend on the time that it took.
inline std::string what_came_out(const FinishedRun& run) {
  std::string text = weights_sha256(run.result.model.weights);
  const auto add = [&](const Scores& scores) { text += fmt::format(" {} {} {}", scores.loss, scores.accuracy, scores.counted); };
  for (const Epoch& epoch : run.result.history) {
    text += fmt::format("\n{} {}", epoch.epoch, epoch.learning_rate);
    add(epoch.train);
    if (epoch.valid) add(*epoch.valid);
  }
  text += fmt::format("\n{} {} {}", run.result.kept_epoch, run.result.best_epoch, static_cast<int>(run.result.stopped));
  add(run.result.test);
  return text;
}

}  // namespace fovea::train
