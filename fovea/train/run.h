// A whole run in its folder: started, or gone on with.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "fovea/train/run_folder.h"

namespace fovea::train {

struct FinishedRun {
  std::filesystem::path folder;
  Recipe recipe;  // as it was used
  TrainResult result;
};

// A run that is started, has its folder, and is advanced by whoever holds it. It saves no checkpoints unless it is told to.
class OpenRun {
 public:
  // As start_run.
  OpenRun(const Recipe& recipe, Existing existing, Callbacks& callbacks, SharedData data = nullptr,
          std::unique_ptr<Backend> backend = nullptr);
  ~OpenRun();
  Trainer& trainer();
  const std::filesystem::path& folder() const;
  TrainResult train();   // all of it
  TrainResult finish();  // where the trainer is done; leaves the files of the run in its folder

 private:
  class Content;
  std::unique_ptr<Content> content_;
};

// Trains as the recipe says and leaves all files of the run in its folder; nothing, if the network, the data or the folder will not do.
// Throws Error (requeue) where a callback asks the run to stop.
FinishedRun start_run(const Recipe& recipe, Existing existing, Callbacks& callbacks);

// Goes on with the run in `folder` as its config.toml says, from its newest whole checkpoint or from the start. Nothing if it is finished.
std::optional<FinishedRun> resume_run(const std::filesystem::path& folder, Callbacks& callbacks);

}  // namespace fovea::train
