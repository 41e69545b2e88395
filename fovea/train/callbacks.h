// What a training run tells whoever watches it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fovea/train/session.h"

namespace fovea::train {

struct RunInfo {
  std::string model, data, backend, precision, device, validation, optimizer;
  int64_t seed = 0;
  double learning_rate = 0;
  int threads = 1;
  int64_t parameters = 0, train_images = 0, test_images = 0;
  int64_t epochs = 0, batch = 0;
  size_t predicted_bytes = 0;  // that the run will hold on its device
};

struct Progress {
  int64_t epoch = 0;  // from 1
  int64_t images = 0, images_per_epoch = 0;
  Scores train;  // of this epoch so far
  double images_per_second = 0;
  double data_share = 0;         // of the time, spent gathering and augmenting images
  double remaining_seconds = 0;  // of the run, at the present speed
};

struct Epoch {
  int64_t epoch = 0;         // from 1
  double learning_rate = 0;  // of its last step
  Scores train;
  std::optional<Scores> valid;
  double seconds = 0;  // of training, evaluation not counted
  double images_per_second = 0, data_share = 0;
};

// What a run says beside its figures.
struct Note {
  enum class Kind : uint8_t { saved, resumed, warning } kind = Kind::saved;
  std::string text;
};

class Callbacks {
 public:
  virtual ~Callbacks() = default;
  virtual void on_start(const RunInfo&) {}
  virtual void on_progress(const Progress&) {}
  virtual void on_epoch(const Epoch&) {}
  virtual void on_note(const Note&) {}
  // Asked between steps, of which a GPU may be given a few at once, and after every batch of an evaluation. Where it is true the run saves
  // a checkpoint and ends with Error (requeue).
  virtual bool stop_requested() { return false; }
};

}  // namespace fovea::train
