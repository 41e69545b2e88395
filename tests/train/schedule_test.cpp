// Learning rates at the beginning, in the middle and at the end.
#include "fovea/train/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

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

TEST(Schedule, MilestonesDropAtTheUpdateThatTheyName) {
  Recipe recipe = recipe_with("milestones");
  recipe.milestones = {3, 7.5};
  EXPECT_EQ(rate_at(recipe, 29), 0.2);
  EXPECT_EQ(rate_at(recipe, 30), 0.2 * 0.1);
  EXPECT_EQ(rate_at(recipe, 74), 0.2 * 0.1);
  EXPECT_EQ(rate_at(recipe, 75), 0.2 * std::pow(0.1, 2));
  EXPECT_EQ(rate_at(recipe, 99), 0.2 * std::pow(0.1, 2));
}

// He et al., CVPR 2016: 0.1, divided by 10 at 32k and 48k updates, of 50,000 images in batches of 128.
TEST(Schedule, MilestonesHitThePublishedUpdates) {
  const Recipe recipe = read_recipe("recipes/resnet20_cifar10.toml", {});
  const auto rate = [&](int64_t step) { return learning_rate(recipe, step, recipe.epochs * 391, 391); };
  EXPECT_EQ(rate(0), 0.1);
  EXPECT_EQ(rate(31999), 0.1);
  EXPECT_DOUBLE_EQ(rate(32000), 0.01);
  EXPECT_DOUBLE_EQ(rate(47999), 0.01);
  EXPECT_DOUBLE_EQ(rate(48000), 0.001);
  EXPECT_DOUBLE_EQ(rate(63999), 0.001);
}

TEST(Schedule, WarmsUpInEqualStepsToWhereTheScheduleBegins) {
  for (const std::string schedule : {"constant", "step", "milestones", "plateau", "linear", "cosine", "one_cycle"}) {
    Recipe recipe = recipe_with(schedule);
    recipe.milestones = {9};
    recipe.warmup_epochs = 1.9;  // 19 updates
    const double begins = schedule == "one_cycle" ? 0.2 / 25 : 0.2;
    EXPECT_NEAR(rate_at(recipe, 0), begins * 1 / 20, 1e-15) << schedule;
    EXPECT_NEAR(rate_at(recipe, 9), begins * 10 / 20, 1e-15) << schedule;
    EXPECT_NEAR(rate_at(recipe, 18), begins * 19 / 20, 1e-15) << schedule;
    EXPECT_NEAR(rate_at(recipe, 19), schedule == "step" ? 0.2 * 0.1 : begins, 1e-15) << schedule;  // its epochs count from the start
  }
}

TEST(Schedule, RunsOverWhatTheWarmUpLeaves) {
  Recipe recipe = recipe_with("linear");
  recipe.warmup_epochs = 2;
  EXPECT_DOUBLE_EQ(rate_at(recipe, 60), 0.1);
  EXPECT_NEAR(rate_at(recipe, 100), 0, 1e-15);
  recipe.schedule = "cosine";
  EXPECT_DOUBLE_EQ(rate_at(recipe, 60), 0.1);
  recipe.schedule = "one_cycle";
  recipe.peak_at = 0.5;
  EXPECT_DOUBLE_EQ(rate_at(recipe, 60), 0.2);
}

TEST(Plateau, DropsAfterSoManyEpochsWithoutImprovement) {
  Recipe recipe = recipe_with("plateau", 0.3);
  recipe.plateau_patience = 2;
  recipe.step_factor = 0.5;
  recipe.min_delta = 0.25;
  Plateau plateau(recipe);
  const std::vector<double> figures = {0.5, 0.5, 0.75, 0.75, 0.875, 1, 1, 1, 1, 1};
  const std::vector<double> shares = {1, 1, 1, 1, 0.5, 0.5, 0.5, 0.3, 0.3, 0.3};  // 0.875 is no improvement on 0.75, but 1 is
  for (size_t i = 0; i < figures.size(); ++i) {
    plateau.observe(figures[i]);
    EXPECT_EQ(plateau.share(), shares[i]) << i;
  }
}

TEST(Plateau, LeavesOtherSchedulesAlone) {
  Plateau plateau(recipe_with("cosine"));
  for (int i = 0; i < 100; ++i) plateau.observe(0);
  EXPECT_EQ(plateau.share(), 1);
}

TEST(Patience, TakesAccuraciesThatRiseAndLossesThatFall) {
  Recipe recipe;
  EXPECT_EQ(watched_figure(recipe, {.loss = 2, .accuracy = 0.5}), 0.5);
  recipe.watch = "loss";
  EXPECT_GT(watched_figure(recipe, {.loss = 1, .accuracy = 0.5}), watched_figure(recipe, {.loss = 2, .accuracy = 0.75}));
}

}  // namespace
}  // namespace fovea::train
