// A network and a data set so small that a whole run takes milliseconds, and the folder that they live in.
#pragma once

#include <string>

#include "fovea/train/trainer.h"
#include "tests/data/data_folder.h"

namespace fovea::train {

class TinyRun {
 public:
  TinyRun() {
    folder_.plant("tiny.toml", R"(name = "tiny"
input = [8, 8, 1]
layers = [
  { conv2d = 4, kernel = 3, activation = "relu" },
  { max_pool = 2 },
  { flatten = true },
  { linear = 8, activation = "relu" },
  { linear = 4 },
]
)");
    recipe.model = (folder_.path() / "tiny.toml").string();
    recipe.data = "synthetic:8x8x1:4:50:30";
    recipe.backend = "eigen";
    recipe.batch = 16;
    recipe.learning_rate = 0.05;
  }

  // The same with batch norms, one of them behind the linear layer.
  void use_batch_norm() {
    folder_.plant("normed.toml", R"(name = "normed"
input = [8, 8, 1]
layers = [
  { conv2d = 4, kernel = 3, batch_norm = true, activation = "relu" },
  { max_pool = 2 },
  { flatten = true },
  { linear = 8, batch_norm = true, activation = "relu" },
  { linear = 4 },
]
)");
    recipe.model = (folder_.path() / "normed.toml").string();
  }

  TrainResult train() const {
    Callbacks silent;
    return Trainer(recipe, silent).train();
  }
  std::filesystem::path path(const std::string& name) const { return folder_.path() / name; }
  void plant(const std::string& name, std::string_view text) const { folder_.plant(name, text); }

  Recipe recipe;

 private:
  data::DataFolder folder_;
};

}  // namespace fovea::train
