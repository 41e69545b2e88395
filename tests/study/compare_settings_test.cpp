// What a comparison is asked for: the table of a recipe, flags over it, and the recipes of the reports.
#include "fovea/study/compare_settings.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "fovea/base/error.h"
#include "tests/train/tiny_run.h"

namespace fovea::study {
namespace {

TEST(CompareSettings, TheTableOfARecipeIsReadAndFlagsWin) {
  const train::TinyRun run;
  run.plant("one.toml", "data = \"" + run.recipe.data + "\"\nmodel = \"" + run.recipe.model + R"("
batch = 8
[compare]
title = "a table"
backends = ["eigen", "cuda"]
threads = [1, 100000000]
)");
  CompareFlags flags;
  flags.file = run.path("one.toml").string();
  EXPECT_THROW(read_comparison(flags), Error) << "more threads than any machine has";
  run.plant("one.toml", "data = \"" + run.recipe.data + "\"\nmodel = \"" + run.recipe.model + R"("
batch = 8
[compare]
title = "a table"
backends = ["eigen", "cuda"]
threads = [1, 4096]
seeds = 3
notes = ["a note"]
stands_in = ["random pixels"]
missing = [{ name = "fine-tuning", reason = "not there" }]
)");
  const CompareSettings settings = read_comparison(flags);
  EXPECT_EQ(settings.title, "a table");
  EXPECT_EQ(settings.seeds, 3);
  EXPECT_EQ(settings.threads, std::vector<int64_t>{1});
  EXPECT_EQ(settings.batches, std::vector<int64_t>{8});
  EXPECT_EQ(settings.notes.size(), 3u);
  EXPECT_EQ(settings.notes[0], "random pixels");
  EXPECT_EQ(settings.missing.size(), 1u);
  EXPECT_EQ(settings.absent, CompareSettings::Absent::listed);
  EXPECT_EQ(train::read_recipe(flags.file, {}).batch, 8) << "`fovea train` reads the same file";
  flags.backends = {"openmp"};
  flags.batches = {4, 4, 2};
  flags.steps = 5;
  const CompareSettings changed = read_comparison(flags);
  EXPECT_EQ(changed.backends, std::vector<std::string>{"openmp"});
  EXPECT_EQ(changed.absent, CompareSettings::Absent::refused);
  EXPECT_EQ(changed.batches, (std::vector<int64_t>{4, 2}));
  EXPECT_EQ(changed.steps, 5);
  flags.recipe["data"] = run.recipe.data;
  EXPECT_EQ(read_comparison(flags).notes[0], "a note") << "nothing stands in for data that a flag names";
  flags.target_accuracy = 0.9;
  EXPECT_THROW(read_comparison(flags), Error) << "speed alone has no target";
}

TEST(CompareSettings, ThoseOfTheReportsAreWhole) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("recipes/reports")) {
    CompareFlags flags;
    flags.file = entry.path().string();
    const CompareSettings settings = read_comparison(flags);
    EXPECT_TRUE(settings.title.starts_with("Report " + entry.path().filename().string().substr(0, 1))) << flags.file;
    const bool is_random = settings.recipe.data.starts_with("synthetic");
    EXPECT_EQ(is_random, !settings.notes.empty() && settings.notes[0].find("random pixels") != std::string::npos) << flags.file;
    ++count;
  }
  EXPECT_GE(count, 7u);
}

TEST(CompareSettings, ATargetNeedsImagesToValidateOn) {
  const train::TinyRun run;
  CompareFlags flags;
  flags.recipe = {{"data", run.recipe.data}, {"model", run.recipe.model}};
  flags.target_accuracy = 0.5;
  const CompareSettings settings = read_comparison(flags);
  EXPECT_EQ(settings.recipe.valid, "0.1");
  EXPECT_EQ(settings.notes.size(), 1u);
}

}  // namespace
}  // namespace fovea::study
