// What a run measures: where it is kept, that a run which goes on takes the same, and which files are refused.
#include "fovea/train/autotune.h"

#include "fovea/train/checkpoint.h"
#include "fovea/train/tuning_file.h"
#include "tests/train/busy_run.h"

namespace fovea::train {
namespace {

using data::error_text;

Tuning some_choices() {
  Tuning tuning("a GPU, driver 1");
  tuning.keep("conv2d_forward f32 n4", {"cudnn", 112.25, "cuda", 131.5});
  tuning.keep("linear \"x\"\n", {"cuda", 1e-3, "", 0});
  return tuning;
}

TEST(TuningFile, GivesBackWhatWasKept) {
  EXPECT_EQ(parse_tuning(tuning_text(some_choices()), "tuning.json"), some_choices());
  EXPECT_EQ(parse_tuning(tuning_text(Tuning()), "tuning.json"), Tuning());
}

TEST(TuningFile, ThatIsDamagedIsRefused) {
  const std::string whole = tuning_text(some_choices());
  const auto with = [&](const std::string& before, const std::string& after) {
    std::string text = whole;
    const size_t at = text.find(before);
    EXPECT_NE(at, std::string::npos) << before;
    return text.replace(at, before.size(), after);
  };
  const std::pair<std::string, std::string> cases[] = {
      {"", "not JSON"},
      {whole.substr(0, whole.size() / 2), "not JSON"},
      {"[]", "the file is array, not an object"},
      {std::string(1 << 20, '['), "nested deeper"},
      {"{}", "the file has no `format`"},
      {with("fovea-tuning-1", "fovea-tuning-9"), "the format `fovea-tuning-9`"},
      {with("\"platform\"", "\"place\""), "the file has no `platform`"},
      {with("\"a GPU, driver 1\"", "5"), "`platform` of the file is number, not a string"},
      {with("112.25", "-1"), "`microseconds` of the choice of `conv2d_forward f32 n4` is -1"},
      {with("112.25", "\"fast\""), "must be a time"},
      {with("112.25", "1e999"), "not JSON"},
      {with("\"taken\": \"cudnn\",", ""), "has no `taken`"},
      {with("\"cudnn\"", "\"cu\xff\""), "not JSON"},
  };
  for (const auto& [text, says] : cases) {
    const std::string error = error_text(ExitCode::data, [&, &content = text] { parse_tuning(content, "tuning.json"); });
    EXPECT_NE(error.find(says), std::string::npos) << error;
    EXPECT_NE(error.find("tuning.json"), std::string::npos) << error;
    EXPECT_NE(error.find("help: "), std::string::npos) << error;
  }
}

TEST(CheckpointWithChoices, GivesThemBack) {
  data::DataFolder folder;
  write_checkpoint(folder.path(), {.identity = {}, .state = {}, .tensors = {}, .tuning = some_choices()});
  EXPECT_EQ(load_checkpoint(folder.path())->checkpoint.tuning, some_choices());
  write_checkpoint(folder.path(), {});
  EXPECT_FALSE(load_checkpoint(folder.path())->checkpoint.tuning);
}

class AutotunedRun : public testing::Test {
 protected:
  AutotunedRun() {
    run.recipe.backend = "openmp";
    run.recipe.autotune = "across";
  }
  std::string file(const std::string& name) const { return read_file(run.path(name) / tuning_file); }
  void stop_midway(const std::string& name) {
    StopAt stop(8);
    error_text(ExitCode::requeue, [&] { run.run(name, stop); });
  }
  // The file with other choices than any run would make.
  void plant_others(const std::string& name, const std::function<void(Tuning&)>& change) {
    Tuning tuning = read_tuning(run.path(name) / tuning_file);
    change(tuning);
    replace_file(run.path(name) / tuning_file, tuning_text(tuning));
  }
  static void exchange(Tuning& tuning) {
    for (const auto& [problem, choice] : std::map(tuning.choices()))
      if (choice.taken != "in parts" && choice.rejected != "in parts" && !choice.rejected.empty())
        tuning.keep(problem, {choice.rejected, choice.microseconds, choice.taken, choice.rejected_microseconds});
  }

  BusyRun run;
};

TEST_F(AutotunedRun, LeavesItsChoicesBeforeTheFirstStep) {
  StopAt stop(0);
  error_text(ExitCode::requeue, [&] { run.run("run", stop); });
  const Tuning tuning = read_tuning(run.path("run") / tuning_file);
  EXPECT_FALSE(tuning.choices().empty());
  EXPECT_FALSE(tuning.platform().empty());
  stop_midway("run");
  EXPECT_EQ(load_checkpoint(run.path("run"))->checkpoint.tuning, tuning);
}

TEST_F(AutotunedRun, GoesOnWithTheSameChoices) {
  run.run("whole");
  run.recipe.tuning = (run.path("whole") / tuning_file).string();
  const std::string expected = what_came_out(*run.run("same"));
  EXPECT_EQ(file("same"), file("whole"));
  stop_midway("stopped");
  EXPECT_EQ(what_came_out(*run.run("stopped")), expected);
  EXPECT_EQ(file("stopped"), file("whole"));
}

// Choices that were not made by measuring here show that they were taken, not found again.
TEST_F(AutotunedRun, MeasuresNothingThatItsFileHolds) {
  stop_midway("first");
  plant_others("first", exchange);
  run.recipe.tuning = (run.path("first") / tuning_file).string();
  stop_midway("second");
  EXPECT_EQ(file("second"), file("first"));
  ASSERT_TRUE(run.run("second"));
  EXPECT_EQ(file("second"), file("first"));
}

TEST_F(AutotunedRun, TakesItsChoicesFromTheCheckpointWhereTheFileIsGone) {
  stop_midway("run");
  const std::string before = file("run");
  std::filesystem::remove(run.path("run") / tuning_file);
  ASSERT_TRUE(run.run("run"));
  EXPECT_EQ(file("run"), before);
}

TEST_F(AutotunedRun, IsNotMixedWithOtherChoices) {
  stop_midway("run");
  plant_others("run", exchange);
  const std::string text = error_text(ExitCode::data, [&] { run.run("run"); });
  EXPECT_NE(text.find("the checkpoint has chosen `"), std::string::npos) << text;
  EXPECT_NE(text.find("help: remove "), std::string::npos) << text;
}

TEST_F(AutotunedRun, MeasuresAgainOnAnotherPlatformAndSaysSo) {
  stop_midway("run");
  const Tuning before = read_tuning(run.path("run") / tuning_file);
  Tuning foreign("another GPU");
  for (const auto& [problem, choice] : before.choices()) foreign.keep(problem, choice);
  replace_file(run.path("run") / tuning_file, tuning_text(foreign));
  StopAt notes;
  ASSERT_TRUE(run.run("run", notes));
  EXPECT_NE(notes.warning.find("another platform (another GPU; this is "), std::string::npos) << notes.warning;
  EXPECT_EQ(read_tuning(run.path("run") / tuning_file).platform(), before.platform());

  replace_file(run.path("foreign.json"), tuning_text(foreign));
  run.recipe.tuning = run.path("foreign.json").string();
  const std::string text = error_text(ExitCode::data, [&] { run.run("new"); });
  EXPECT_NE(text.find("measured on another platform"), std::string::npos) << text;
  EXPECT_NE(text.find("there: another GPU; here: "), std::string::npos) << text;
}

TEST_F(AutotunedRun, NeedsAnotherBackendInTheSameMemory) {
  run.recipe.backend = "reference";
  Callbacks silent;
  const std::string text = error_text(ExitCode::config, [&] { run.run("run", silent); });
  EXPECT_NE(text.find("`reference` is alone in its"), std::string::npos) << text;
}

TEST(Autotune, OtherwiseMeasuresNothingHere) {
  for (const char* autotune : {"off", "engines"}) {
    BusyRun run;
    run.recipe.autotune = autotune;
    ASSERT_TRUE(run.run("run"));
    EXPECT_FALSE(std::filesystem::exists(run.path("run") / tuning_file));
  }
}

TEST_F(AutotunedRun, ThatDoesNotFitIsRefusedWithTheLargestBatch) {
  run.recipe.micro_batches = 1;
  const size_t needed = run.run("whole")->result.info.predicted_bytes;
  run.recipe.memory_limit = fmt::format("{} KiB", needed / 1024 * 3 / 4);
  const std::string text = error_text(ExitCode::memory, [&] { run.run("run"); });
  EXPECT_NE(text.find("are allowed by memory_limit"), std::string::npos) << text;
  EXPECT_NE(text.find("the largest batch that fits is "), std::string::npos) << text;
}

TEST(Autotune, TheLargestBatchIsFoundWithoutMeasuring) {
  TinyRun tiny;
  tiny.recipe.autotune = "across";
  tiny.recipe.memory_limit = "1 MiB";
  tiny.recipe.batch = automatic_batch;
  Callbacks silent;
  Trainer trainer(tiny.recipe, silent);
  EXPECT_GT(trainer.recipe().batch, 0);
  EXPECT_NE(trainer.recipe().origin.at("batch").find("auto"), std::string::npos);
}

}  // namespace
}  // namespace fovea::train
