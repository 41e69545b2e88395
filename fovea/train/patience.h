// How long a run has waited for a better epoch.
#pragma once

#include <cstdint>
#include <limits>

#include "fovea/train/recipe.h"
#include "fovea/train/session.h"

namespace fovea::train {

// Of the validation, larger is better.
inline double watched_figure(const Recipe& recipe, const Scores& valid) { return recipe.watch == "loss" ? -valid.loss : valid.accuracy; }

class Patience {
 public:
  struct State {  // what a checkpoint keeps
    double best = -std::numeric_limits<double>::infinity();
    int64_t waited = 0;
  };

  explicit Patience(double min_delta) : min_delta_(min_delta) {}

  // An improvement is larger than the last one by at least min_delta.
  void observe(double figure) {
    if (figure > state.best && figure - state.best >= min_delta_) {
      state = {figure, 0};
    } else {
      ++state.waited;
    }
  }
  int64_t waited() const { return state.waited; }  // epochs since the last improvement, or since wait_again
  void wait_again() { state.waited = 0; }

  State state;

 private:
  double min_delta_;
};

}  // namespace fovea::train
