#include "fovea/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace fovea::train {
namespace {

double cosine(double from, double to, double progress) { return to + (from - to) * 0.5 * (1 + std::cos(std::numbers::pi * progress)); }

}  // namespace

double learning_rate(const Recipe& recipe, int64_t step, int64_t steps, int64_t steps_per_epoch) {
  const double rate = recipe.learning_rate, last = rate * recipe.final_rate;
  const double progress = static_cast<double>(step) / static_cast<double>(steps);
  if (recipe.schedule == "step")
    return rate * std::pow(recipe.step_factor, static_cast<double>(step / steps_per_epoch / recipe.step_every));
  if (recipe.schedule == "linear") return rate + (last - rate) * progress;
  if (recipe.schedule == "cosine") return cosine(rate, last, progress);
  if (recipe.schedule == "one_cycle") {
    if (progress < recipe.peak_at) return cosine(rate / 25, rate, progress / recipe.peak_at);
    return cosine(rate, last, recipe.peak_at < 1 ? (progress - recipe.peak_at) / (1 - recipe.peak_at) : 0);
  }
  return rate;
}

}  // namespace fovea::train
