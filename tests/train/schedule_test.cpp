// Learning rates at the beginning, in the middle and at the end.
#include "fovea/train/schedule.h"

#include <gtest/gtest.h>

namespace fovea::train {
namespace {

constexpr int64_t steps = 100, per_epoch = 10;

double rate_at(const Recipe& recipe, int64_t step) { return learning_rate(recipe, step, steps, per_epoch); }

Recipe recipe_with(const std::string& schedule, double final_rate = 0) {
  Recipe recipe;
  recipe.learning_rate = 0.2;
  recipe.schedule = schedule;
  recipe.final_rate = final_rate;
  return recipe;
}

TEST(Schedule, ConstantStays) {
  for (const int64_t step : {0, 50, 99}) EXPECT_EQ(rate_at(recipe_with("constant"), step), 0.2);
}

TEST(Schedule, StepDropsAtWholeEpochs) {
  Recipe recipe = recipe_with("step");
  recipe.step_every = 3;
  recipe.step_factor = 0.5;
  EXPECT_DOUBLE_EQ(rate_at(recipe, 29), 0.2);
  EXPECT_DOUBLE_EQ(rate_at(recipe, 30), 0.1);
  EXPECT_DOUBLE_EQ(rate_at(recipe, 59), 0.1);
  EXPECT_DOUBLE_EQ(rate_at(recipe, 60), 0.05);
  EXPECT_DOUBLE_EQ(rate_at(recipe, 99), 0.025);
}

TEST(Schedule, LinearAndCosineMeetInTheMiddle) {
  for (const std::string schedule : {"linear", "cosine"}) {
    EXPECT_DOUBLE_EQ(rate_at(recipe_with(schedule, 0.1), 0), 0.2) << schedule;
    EXPECT_DOUBLE_EQ(rate_at(recipe_with(schedule, 0.1), 50), 0.11) << schedule;
    EXPECT_NEAR(rate_at(recipe_with(schedule, 0.1), 100), 0.02, 1e-15) << schedule;
  }
  EXPECT_DOUBLE_EQ(rate_at(recipe_with("linear"), 25), 0.15);
  EXPECT_NEAR(rate_at(recipe_with("cosine"), 25), 0.1 + 0.1 * 0.70710678118654752, 1e-15);
}

TEST(Schedule, OneCycleRisesToItsPeakAndFalls) {
  Recipe recipe = recipe_with("one_cycle", 0.01);
  recipe.peak_at = 0.4;
  EXPECT_DOUBLE_EQ(rate_at(recipe, 0), 0.2 / 25);
  EXPECT_DOUBLE_EQ(rate_at(recipe, 20), (0.2 / 25 + 0.2) / 2);
  EXPECT_DOUBLE_EQ(rate_at(recipe, 40), 0.2);
  EXPECT_DOUBLE_EQ(rate_at(recipe, 70), (0.2 + 0.002) / 2);
  EXPECT_NEAR(rate_at(recipe, 100), 0.002, 1e-15);
  for (int64_t step = 1; step <= 100; ++step) EXPECT_EQ(rate_at(recipe, step) > rate_at(recipe, step - 1), step <= 40) << step;
}

TEST(Schedule, OneCycleCanPeakAtEitherEnd) {
  Recipe recipe = recipe_with("one_cycle", 0.5);
  recipe.peak_at = 0;
  EXPECT_DOUBLE_EQ(rate_at(recipe, 0), 0.2);
  EXPECT_DOUBLE_EQ(rate_at(recipe, 100), 0.1);
  recipe.peak_at = 1;
  EXPECT_DOUBLE_EQ(rate_at(recipe, 0), 0.2 / 25);
  EXPECT_DOUBLE_EQ(rate_at(recipe, 100), 0.2);
}

}  // namespace
}  // namespace fovea::train
