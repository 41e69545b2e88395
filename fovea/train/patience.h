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
  explicit Patience(double min_delta) : min_delta_(min_delta) {}

  // An improvement is larger than the last one by at least min_delta.
  void observe(double figure) {
    if (figure > best_ && figure - best_ >= min_delta_) {
      best_ = figure;
      waited_ = 0;
    } else {
      ++waited_;
    }
  }
  int64_t waited() const { return waited_; }  // epochs since the last improvement, or since wait_again
  void wait_again() { waited_ = 0; }

 private:
  double min_delta_;
  double best_ = -std::numeric_limits<double>::infinity();
  int64_t waited_ = 0;
};

}  // namespace fovea::train
