#include "fovea/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace fovea::train {
namespace {

double cosine(double from, double to, double progress) { return to + (from - to) * 0.5 * (1 + std::cos(std::numbers::pi * progress)); }

int64_t updates_in(double epochs, int64_t steps_per_epoch) { return std::llround(epochs * static_cast<double>(steps_per_epoch)); }

// `progress` in [0, 1]: of the updates behind the warm-up.
double scheduled(const Recipe& recipe, double progress, int64_t step, int64_t steps_per_epoch) {
  const double rate = recipe.learning_rate, last = rate * recipe.final_rate;
  if (recipe.schedule == "step")
    return rate * std::pow(recipe.step_factor, static_cast<double>(step / steps_per_epoch / recipe.step_every));
  if (recipe.schedule == "milestones") {
    const auto behind = std::count_if(recipe.milestones.begin(), recipe.milestones.end(),
                                      [&](double epoch) { return step >= updates_in(epoch, steps_per_epoch); });
    return rate * std::pow(recipe.step_factor, static_cast<double>(behind));
  }
  if (recipe.schedule == "linear") return rate + (last - rate) * progress;
  if (recipe.schedule == "cosine") return cosine(rate, last, progress);
  if (recipe.schedule == "one_cycle") {
    if (progress < recipe.peak_at) return cosine(rate / 25, rate, progress / recipe.peak_at);
    return cosine(rate, last, recipe.peak_at < 1 ? (progress - recipe.peak_at) / (1 - recipe.peak_at) : 0);
  }
  return rate;
}

}  // namespace

double learning_rate(const Recipe& recipe, int64_t step, int64_t steps, int64_t steps_per_epoch) {
  const int64_t warmup = updates_in(recipe.warmup_epochs, steps_per_epoch);
  if (step < warmup) return scheduled(recipe, 0, 0, steps_per_epoch) * static_cast<double>(step + 1) / static_cast<double>(warmup + 1);
  return scheduled(recipe, static_cast<double>(step - warmup) / static_cast<double>(steps - warmup), step, steps_per_epoch);
}

Plateau::Plateau(const Recipe& recipe)
    : active_(recipe.schedule == "plateau"),
      after_(recipe.plateau_patience),
      factor_(recipe.step_factor),
      least_(recipe.final_rate),
      patience_(recipe.min_delta) {}

void Plateau::observe(double figure) {
  patience_.observe(figure);
  if (!active_ || patience_.waited() < after_) return;
  share_ = std::max(share_ * factor_, least_);
  patience_.wait_again();
}

}  // namespace fovea::train
