// Runs that are stopped anywhere and go on to the same bits; checkpoints that are damaged or of another run.
#include "fovea/train/checkpoint.h"

#include <fmt/format.h>

#include <iostream>

#include "fovea/base/philox.h"
#include "tests/train/busy_run.h"

namespace fovea::train {
namespace {

using data::error_text;

// After every step, between the batches of every evaluation, and before the first step.
TEST(Resume, GivesTheSameBitsWhereverTheRunWasStopped) {
  BusyRun run;
  StopAt counts;
  const std::string expected = what_came_out(*run.run("whole", counts));
  ASSERT_GT(counts.asked, 15);
  for (int64_t at = 0; at < counts.asked; ++at) {
    const std::string name = fmt::format("run{}", at);
    StopAt stop(at);
    const std::string text = error_text(ExitCode::requeue, [&] { run.run(name, stop); });
    EXPECT_NE(text.find("fovea train --resume " + run.path(name).string()), std::string::npos) << text;
    const std::optional<FinishedRun> resumed = run.run(name);
    ASSERT_TRUE(resumed) << at;
    EXPECT_EQ(what_came_out(*resumed), expected) << "stopped at question " << at;
  }
}

TEST(Resume, MayBeStoppedAgainAndAgain) {
  BusyRun run;
  const std::string expected = what_came_out(*run.run("whole"));
  std::optional<FinishedRun> finished;
  int stops = 0;
  while (!finished) {
    StopAt stop(3);
    try {
      finished = run.run("often", stop);
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), ExitCode::requeue) << error.what();
      ++stops;
    }
    ASSERT_LT(stops, 100);
  }
  EXPECT_GT(stops, 3);
  EXPECT_EQ(what_came_out(*finished), expected);
  EXPECT_FALSE(run.run("often"));  // it is finished
}

TEST(Resume, GoesOnWithEarlyStoppingAndTheLastWeights) {
  BusyRun run;
  run.recipe.keep = "last";
  run.recipe.epochs = 12;
  run.recipe.early_stopping = 2;
  run.recipe.learning_rate = 0.3;
  StopAt counts;
  const std::optional<FinishedRun> whole = run.run("whole", counts);
  ASSERT_EQ(whole->result.stopped, Stopped::early);
  for (int64_t at = 1; at < counts.asked; at += 5) {
    const std::string name = fmt::format("run{}", at);
    StopAt stop(at);
    error_text(ExitCode::requeue, [&] { run.run(name, stop); });
    EXPECT_EQ(what_came_out(*run.run(name)), what_came_out(*whole)) << at;
  }
}

TEST(Resume, StartsAtStepZeroWithoutACheckpoint) {
  BusyRun run;
  const std::string expected = what_came_out(*run.run("whole"));
  for (const char* file : {result_file, last_checkpoint, previous_checkpoint}) std::filesystem::remove(run.path("whole") / file);
  EXPECT_EQ(what_came_out(*run.run("whole")), expected);
}

// Stops a run behind its second checkpoint at least.
void stop_midway(BusyRun& run, const std::string& name) {
  StopAt stop(8);
  error_text(ExitCode::requeue, [&] { run.run(name, stop); });
  ASSERT_TRUE(std::filesystem::exists(run.path(name) / previous_checkpoint));
}

TEST(Resume, FallsBackToTheOlderCheckpoint) {
  BusyRun run;
  const std::string expected = what_came_out(*run.run("whole"));
  stop_midway(run, "run");
  const std::filesystem::path last = run.path("run") / last_checkpoint, previous = run.path("run") / previous_checkpoint;
  replace_file(last, read_file(last).substr(1));
  StopAt notes;
  EXPECT_EQ(what_came_out(*run.run("run", notes)), expected);
  EXPECT_NE(notes.warning.find(last.string()), std::string::npos) << notes.warning;

  stop_midway(run, "again");
  std::filesystem::remove(run.path("again") / last_checkpoint);  // as a kill between two renames leaves it
  EXPECT_EQ(what_came_out(*run.run("again")), expected);
}

TEST(Resume, GoesOnComputingAgainWhatItDidNotKeep) {
  BusyRun run;
  run.plant("all.toml", R"(name = "all"
input = [8, 8, 1]
layers = [
  { conv2d = 4, kernel = 3, padding = 1, batch_norm = true, activation = "relu" },
  { conv2d = 4, kernel = 3, padding = 1, batch_norm = true },
  { add = "conv1", activation = "relu", name = "sum" },
  { conv2d = 4, kernel = 3, padding = 1, batch_norm = true, activation = "relu" },
  { conv2d = 4, kernel = 3, padding = 1, batch_norm = true },
  { add = "sum", activation = "relu" },
  { conv2d = 4, kernel = 3, padding = 1, batch_norm = true, activation = "relu" },
  { dropout = 0.2 },
  { flatten = true },
  { linear = 4 },
]
)");
  run.recipe.micro_batches = 1;
  const std::optional<FinishedRun> kept = run.run("kept");
  run.recipe.recompute = Switch::on;
  const std::optional<FinishedRun> again = run.run("again");
  EXPECT_EQ(what_came_out(*again), what_came_out(*kept));
  EXPECT_LT(again->result.info.predicted_bytes, kept->result.info.predicted_bytes);
  EXPECT_NE(read_file(run.path("again") / config_file).find("recompute = true"), std::string::npos);
  stop_midway(run, "stopped");
  run.recipe.recompute = Switch::off;  // what is resumed is told by its own configuration
  const std::optional<FinishedRun> resumed = run.run("stopped");
  EXPECT_EQ(what_came_out(*resumed), what_came_out(*kept));
  EXPECT_EQ(resumed->result.info.predicted_bytes, again->result.info.predicted_bytes);
}

TEST(Resume, IsRefusedWhereNoCheckpointIsWhole) {
  BusyRun run;
  stop_midway(run, "run");
  for (const char* file : {last_checkpoint, previous_checkpoint}) replace_file(run.path("run") / file, "no checkpoint");
  const std::string text = error_text(ExitCode::data, [&] { run.run("run"); });
  EXPECT_NE(text.find("last.ckpt"), std::string::npos) << text;
  EXPECT_NE(text.find("config.toml --out ANOTHER"), std::string::npos) << text;
  EXPECT_FALSE(std::filesystem::exists(run.path("run") / result_file));
}

TEST(Resume, IsRefusedWithTheCheckpointOfAnotherRun) {
  BusyRun run;
  stop_midway(run, "first");
  const auto refused = [&](const std::string& what) {
    StopAt stop(8);
    error_text(ExitCode::requeue, [&] { run.run("second", stop); });
    std::filesystem::copy_file(run.path("first") / last_checkpoint, run.path("second") / last_checkpoint,
                               std::filesystem::copy_options::overwrite_existing);
    const std::string text = error_text(ExitCode::data, [&] { run.run("second"); });
    EXPECT_NE(text.find(what), std::string::npos) << text;
    std::filesystem::remove_all(run.path("second"));
  };
  run.recipe.learning_rate = 0.02;
  refused("`learning_rate`");
  run.recipe.learning_rate = 0.01;
  run.recipe.tensors.push_back({.match = "conv1.*", .rate_scale = 0.5, .decay = {}, .frozen = {}});
  refused("`tensors`");
  run.recipe.tensors.clear();
  run.recipe.data = "synthetic:8x8x1:4:60:30";
  refused("`the ");
  run.recipe.data = "synthetic:8x8x1:4:50:30";
  run.plant("all.toml", read_file(run.recipe.model) + "# one more line\n");
  refused("`the network`");
}

TEST(Resume, TakesNeitherForeignFoldersNorTheFolderOfARunningProcess) {
  BusyRun run;
  StopAt none;
  EXPECT_NE(error_text(ExitCode::data, [&] { resume_run(run.path("absent"), none); }).find("config.toml"), std::string::npos);
  struct Greedy final : Callbacks {
    void on_epoch(const Epoch&) override {
      StopAt none;
      text = error_text(ExitCode::usage, [&] { resume_run(folder, none); });
    }
    std::filesystem::path folder;
    std::string text;
  } greedy;
  greedy.folder = run.path("run");
  run.run("run", greedy);
  EXPECT_NE(greedy.text.find("another process"), std::string::npos) << greedy.text;
}

TEST(Checkpoint, ComesBackAsItWasWritten) {
  BusyRun run;
  stop_midway(run, "run");
  const Checkpoint checkpoint = load_checkpoint(run.path("run"))->checkpoint;
  EXPECT_GT(checkpoint.state.step, 3);
  EXPECT_FALSE(checkpoint.tensors.empty());
  EXPECT_FALSE(checkpoint.state.kept.empty());
  std::filesystem::create_directory(run.path("copy"));
  write_checkpoint(run.path("copy"), checkpoint);
  EXPECT_EQ(read_file(run.path("copy") / last_checkpoint), read_file(run.path("run") / last_checkpoint));
}

// Each flipped bit and each truncation is noticed, and the older generation loads.
void damage(uint32_t all_flips, uint32_t all_cuts) {
  BusyRun run;
  stop_midway(run, "run");
  const std::filesystem::path last = run.path("run") / last_checkpoint;
  const std::string whole = read_file(last);
  const int64_t older = load_checkpoint(run.path("run"))->checkpoint.state.step - 2;
  const uint32_t size = static_cast<uint32_t>(whole.size());
  uint32_t flips = 0, cuts = 0;
  const auto is_noticed = [&](const std::string& damaged) {
    std::ofstream(last, std::ios::binary) << damaged;
    const std::optional<LoadedCheckpoint> loaded = load_checkpoint(run.path("run"));
    return loaded && loaded->file.filename() == previous_checkpoint && loaded->checkpoint.state.step <= older && !loaded->warning.empty();
  };
  for (uint32_t i = 0; i < all_flips; ++i) {
    const Random4 draw = philox(1, Draw::test, i, 0, 0);
    std::string damaged = whole;
    char& byte = damaged[to_below(draw.v[0], size)];
    byte = static_cast<char>(byte ^ (1 << to_below(draw.v[1], 8)));
    flips += is_noticed(damaged);
  }
  for (uint32_t i = 0; i < all_cuts; ++i) cuts += is_noticed(whole.substr(0, to_below(philox(2, Draw::test, i, 0, 0).v[0], size)));
  EXPECT_EQ(flips, all_flips);
  EXPECT_EQ(cuts, all_cuts);
  std::cout << "[   counts ] " << flips << " of " << all_flips << " flipped bits and " << cuts << " of " << all_cuts
            << " truncations noticed\n";
}

TEST(Checkpoint, ThatIsDamagedNeverLoads) { damage(500, 50); }
TEST(SlowCheckpoint, ThatIsDamagedNeverLoads) { damage(10'000, 1'000); }

}  // namespace
}  // namespace fovea::train
