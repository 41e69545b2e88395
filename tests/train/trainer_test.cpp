// Whole runs of a tiny network.
#include "fovea/train/trainer.h"

#include <algorithm>

#include "fovea/train/session.h"
#include "tests/train/tiny_run.h"

namespace fovea::train {
namespace {

using data::error_text;

TEST(Trainer, TheSameRecipeGivesTheSameBits) {
  TinyRun run;
  run.recipe.optimizer = "adam";
  run.recipe.mirror = Switch::on;
  run.recipe.crop_padding = 1;
  run.recipe.valid = "0.2";
  run.recipe.epochs = 3;
  const TrainResult first = run.train(), second = run.train();
  EXPECT_EQ(weights_sha256(first.model.weights), weights_sha256(second.model.weights));
  EXPECT_EQ(first.test.loss, second.test.loss);
  EXPECT_EQ(first.history[2].train.loss, second.history[2].train.loss);
  run.recipe.seed = 2;
  EXPECT_NE(weights_sha256(run.train().model.weights), weights_sha256(first.model.weights));
}

TEST(Trainer, TakesTheLastPartialBatchToo) {
  TinyRun run;  // 50 images in batches of 16: three of them, and one of 2
  run.recipe.epochs = 2;
  run.recipe.schedule = "linear";
  const TrainResult result = run.train();
  for (const Epoch& epoch : result.history) EXPECT_EQ(epoch.train.counted, 50);
  EXPECT_DOUBLE_EQ(result.history[0].learning_rate, 0.05 * (1 - 3.0 / 8));  // of update 3 of 8
  EXPECT_DOUBLE_EQ(result.history[1].learning_rate, 0.05 * (1 - 7.0 / 8));
  EXPECT_EQ(result.test.counted, 30);
  EXPECT_EQ(result.info.train_images, 50);
}

TEST(Trainer, ABatchLargerThanTheDataIsTheData) {
  TinyRun run;
  run.recipe.batch = 1000;
  run.recipe.micro_batches = 100;
  const TrainResult result = run.train();
  EXPECT_EQ(result.info.batch, 50);
  EXPECT_EQ(result.history[0].train.counted, 50);
  EXPECT_EQ(result.test.counted, 30);
}

TEST(Trainer, KeepsTheWeightsOfTheBestEpoch) {
  TinyRun run;
  run.recipe.epochs = 12;
  run.recipe.valid = "test";
  run.recipe.keep = "best";
  run.recipe.learning_rate = 0.2;
  const TrainResult result = run.train();
  const auto best = std::max_element(result.history.begin(), result.history.end(),
                                     [](const Epoch& a, const Epoch& b) { return a.valid->accuracy < b.valid->accuracy; });
  EXPECT_EQ(result.kept_epoch, best->epoch);
  ASSERT_NE(result.kept_epoch, 12);  // else this shows nothing
  EXPECT_EQ(result.test.accuracy, best->valid->accuracy);
  EXPECT_EQ(result.test.loss, best->valid->loss);
  run.recipe.epochs = result.kept_epoch;
  run.recipe.keep = "last";
  EXPECT_EQ(weights_sha256(run.train().model.weights), weights_sha256(result.model.weights));
}

TEST(Trainer, ValidatesOnImagesThatItDoesNotTrainOn) {
  TinyRun run;
  run.recipe.valid = "0.3";
  const TrainResult result = run.train();
  EXPECT_EQ(result.info.train_images, 35);
  EXPECT_EQ(result.history[0].train.counted, 35);
  EXPECT_EQ(result.history[0].valid->counted, 15);
  EXPECT_EQ(result.info.validation, "15 images taken out of the training images");
  run.recipe.valid = "0";
  EXPECT_FALSE(run.train().history[0].valid.has_value());
}

TEST(Trainer, LearnsOneBatchByHeart) {
  for (const std::string backend : {"reference", "eigen"}) {
    TinyRun run;
    run.recipe.backend = backend;
    run.recipe.data = "synthetic:8x8x1:4:16:16";
    run.recipe.optimizer = "adam";
    run.recipe.learning_rate = 0.02;
    run.recipe.epochs = 300;
    const TrainResult result = run.train();
    EXPECT_GT(result.history.front().train.loss, 1) << backend;
    EXPECT_LT(result.history.back().train.loss, 0.02) << backend;
    EXPECT_EQ(result.history.back().train.accuracy, 1) << backend;
  }
}

TEST(Trainer, NamesTheLayerThatFirstGivesNaN) {
  TinyRun run;
  run.recipe.learning_rate = run.recipe.weight_decay = 1e6;  // every update makes the weights 10^12 times as large
  const std::string text = error_text(ExitCode::numeric, [&] { run.train(); });
  EXPECT_NE(text.find("layer `"), std::string::npos) << text;
  EXPECT_NE(text.find("a smaller learning_rate"), std::string::npos) << text;
}

// No later loss raises the flag, yet what is saved must not be NaN.
TEST(Trainer, NoticesThatItsLastUpdateGaveNaN) {
  TinyRun run;
  run.recipe.batch = 50;
  run.recipe.learning_rate = run.recipe.weight_decay = 1e6;
  run.recipe.mean = {0.5};
  run.recipe.deviation = {1e-6};
  const std::string text = error_text(ExitCode::numeric, [&] { run.train(); });
  EXPECT_NE(text.find("NaN or infinite"), std::string::npos) << text;
}

TEST(Trainer, MeasuresTheShareOfTheDataEvenInShortEpochs) {
  const TrainResult result = TinyRun().train();
  EXPECT_GT(result.history[0].data_share, 0);
  EXPECT_LT(result.history[0].data_share, 1);
}

TEST(Trainer, SaysWhatItRunsAndReportsProgress) {
  struct Watcher final : Callbacks {
    void on_start(const RunInfo& run) override { info = run; }
    void on_progress(const Progress& progress) override { images = progress.images; }
    void on_epoch(const Epoch& epoch) override { epochs.push_back(epoch.epoch); }
    RunInfo info;
    int64_t images = 0;
    std::vector<int64_t> epochs;
  } watcher;
  TinyRun run;
  run.recipe.epochs = 3;
  run.recipe.backend.clear();
  Trainer(run.recipe, watcher).train();
  EXPECT_EQ(watcher.info.model, "tiny");
  EXPECT_EQ(watcher.info.backend, default_backend());
  EXPECT_EQ(watcher.info.parameters, 4 * 9 + 4 + 36 * 8 + 8 + 8 * 4 + 4);
  EXPECT_GT(watcher.info.predicted_bytes, 50u * 64);
  EXPECT_EQ(watcher.images, 50);
  EXPECT_EQ(watcher.epochs, (std::vector<int64_t>{1, 2, 3}));
}

TEST(Trainer, RefusesWhatDoesNotFit) {
  TinyRun run;
  run.recipe.data = "synthetic:9x8x1:4:50:30";
  error_text(ExitCode::config, [&] { run.train(); });
  run.recipe.data = "synthetic:8x8x1:5:50:30";
  error_text(ExitCode::config, [&] { run.train(); });
  run.recipe.data = "mnist:no/such/folder";
  error_text(ExitCode::data, [&] { run.train(); });
  run.recipe.data = "synthetic:8x8x1:4:50:30";
  run.recipe.backend = "tpu";
  error_text(ExitCode::device, [&] { run.train(); });
}

}  // namespace
}  // namespace fovea::train
