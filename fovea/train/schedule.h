// The learning rate as a function of the step and, on a plateau, of what the epochs have shown.
#pragma once

#include <cstdint>

#include "fovea/train/patience.h"
#include "fovea/train/recipe.h"

namespace fovea::train {

// At update `step` of `steps` in all, `steps_per_epoch` of them in an epoch. With w = warmup_epochs * steps_per_epoch, rounded, the first w
// updates have (step + 1) / (w + 1) of what the schedule begins with. Epochs count from the start of training; what runs over the whole
// length runs over the updates behind the warm-up and would be at its end, final * rate, at update `steps`: one after the last.
//   constant   rate
//   step       rate * factor^(epoch / every)
//   milestones rate * factor^m, with m milestones behind: update round(milestone * steps_per_epoch) is the first with the lower rate
//   plateau    rate; see Plateau
//   linear     from rate to final * rate
//   cosine     the same along half a cosine wave (Loshchilov and Hutter, ICLR 2017, equation 5)
//   one_cycle  from rate / 25 up to rate at peak_at and down to final * rate, both along half a cosine wave (Smith and Topin, 2018)
double learning_rate(const Recipe& recipe, int64_t step, int64_t steps, int64_t steps_per_epoch);

// The factor of the rate that falls by step_factor, never below final_rate, when plateau_patience epochs in a row were no improvement.
class Plateau {
 public:
  struct State {  // what a checkpoint keeps
    Patience::State patience;
    double share = 1;
  };

  explicit Plateau(const Recipe& recipe);
  void observe(double figure);  // after each epoch: see watched_figure; does nothing under other schedules
  double share() const { return share_; }
  State state() const { return {patience_.state, share_}; }
  void restore(const State& state) { patience_.state = state.patience, share_ = state.share; }

 private:
  bool active_;
  int64_t after_;
  double factor_, least_;
  Patience patience_;
  double share_ = 1;
};

}  // namespace fovea::train
