// Where a run stands, beside what lies on its device.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "fovea/train/callbacks.h"
#include "fovea/train/schedule.h"

namespace fovea::train {

enum class Stopped : uint8_t { at_the_end, early };

struct RunState {
  int64_t epoch = 0;         // in which it is, from 0; as many as there are when all are done
  int64_t position = 0;      // images of this epoch that were trained; all of them while the epoch is validated
  int64_t step = 0;          // updates done
  double learning_rate = 0;  // of the last one
  Metrics metrics;           // of this epoch so far

  double epoch_seconds = 0, train_seconds = 0;  // of this epoch so far; of those before it
  double data_seconds = 0, timed_seconds = 0;   // of the steps of this epoch that were timed
  std::vector<Epoch> history;                   // of the epochs before this one

  Plateau::State plateau;
  Patience::State patience;
  double best_figure = -std::numeric_limits<double>::infinity();
  int64_t best_epoch = 0, kept_epoch = 0;  // from 1; 0: none yet
  Stopped stopped = Stopped::at_the_end;
  std::vector<StateTensor> kept;  // the weights of kept_epoch, in the network's order
};

}  // namespace fovea::train
