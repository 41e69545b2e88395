// Whole runs of a tiny network.
#include "fovea/train/trainer.h"

#include <algorithm>

#include "fovea/backend/registry.h"
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

struct RestlessRun : TinyRun {
  RestlessRun() {
    recipe.epochs = 30;
    recipe.valid = "test";
    recipe.learning_rate = 0.2;
  }
};

// By hand from the history: the first epoch behind the best of which so many were no improvement.
TEST(Trainer, StopsEarlyAndKeepsTheBest) {
  for (const std::string watch : {"accuracy", "loss"}) {
    RestlessRun run;
    run.recipe.watch = watch;
    run.recipe.early_stopping = 3;
    run.recipe.keep = "best";
    const TrainResult result = run.train();
    const int64_t epochs = std::ssize(result.history);
    ASSERT_EQ(result.stopped, Stopped::early);
    ASSERT_LT(epochs, 30);
    const auto best = std::max_element(result.history.begin(), result.history.end(), [&](const Epoch& a, const Epoch& b) {
      return watched_figure(run.recipe, *a.valid) < watched_figure(run.recipe, *b.valid);
    });
    EXPECT_EQ(result.best_epoch, best->epoch) << watch;
    EXPECT_EQ(result.kept_epoch, best->epoch) << watch;
    EXPECT_EQ(epochs, best->epoch + 3) << watch;
    EXPECT_EQ(result.test.loss, best->valid->loss) << watch;
    run.recipe.keep = "last";
    const TrainResult last = run.train();
    EXPECT_EQ(last.kept_epoch, epochs);
    EXPECT_EQ(last.best_epoch, result.best_epoch);
    EXPECT_NE(weights_sha256(last.model.weights), weights_sha256(result.model.weights));
  }
}

TEST(Trainer, DoesNotStopBeforeItsPatienceEnds) {
  RestlessRun run;
  run.recipe.epochs = 5;
  run.recipe.early_stopping = 5;
  const TrainResult result = run.train();
  EXPECT_EQ(result.stopped, Stopped::at_the_end);
  EXPECT_EQ(result.history.size(), 5u);
}

TEST(Trainer, LowersTheRateOnAPlateau) {
  RestlessRun run;
  run.recipe.schedule = "plateau";
  run.recipe.plateau_patience = 2;
  run.recipe.step_factor = 0.5;
  const TrainResult result = run.train();
  Plateau expected(run.recipe);
  for (const Epoch& epoch : result.history) {
    EXPECT_EQ(epoch.learning_rate, 0.2 * expected.share()) << epoch.epoch;
    expected.observe(epoch.valid->accuracy);
  }
  EXPECT_LT(expected.share(), 0.5);
}

// The loss of a saved model, from its file's content alone.
double loss_of(const SavedModel& model, const data::Images& images) {
  const std::unique_ptr<Backend> backend = open_backend("eigen");
  std::vector<std::string> order;
  for (const model::Parameter& parameter : model.network.parameters)
    if (parameter.trained == model::Trained::yes) order.push_back(parameter.name);
  Session session({.backend = backend.get()});
  session.add(evaluation_graph(model.network, model.preprocessing, {.images = images.count, .batch = 16}), order, images);
  session.place();
  session.write_weights(model.weights);
  return evaluate(session, 0, images.count, 16).loss;
}

// What is tested and saved is the average, and it is saved once.
TEST(Trainer, TestsAndSavesTheAverageOfTheWeights) {
  TinyRun run;
  run.recipe.epochs = 4;
  run.recipe.valid = "test";
  const std::string plain = weights_sha256(run.train().model.weights);
  run.recipe.ema_decay = 0.9;
  const TrainResult result = run.train();
  EXPECT_NE(weights_sha256(result.model.weights), plain);
  EXPECT_EQ(result.model.weights.size(), 6u);
  EXPECT_EQ(result.test.loss, result.history.back().valid->loss);
  EXPECT_EQ(loss_of(result.model, data::load(run.recipe.data).test), result.test.loss);
}

// With the running statistics that these weights had: those of later epochs would give other losses.
TEST(Trainer, KeepsTheStatisticsOfTheBestEpochToo) {
  for (const double ema_decay : {0.0, 0.8}) {
    RestlessRun run;
    run.use_batch_norm();
    run.recipe.early_stopping = 3;
    run.recipe.keep = "best";
    run.recipe.ema_decay = ema_decay;
    const TrainResult result = run.train();
    ASSERT_LT(result.best_epoch, std::ssize(result.history)) << ema_decay;
    const Epoch& best = result.history[static_cast<size_t>(result.best_epoch - 1)];
    EXPECT_EQ(result.test.loss, best.valid->loss) << ema_decay;
    EXPECT_EQ(loss_of(result.model, data::load(run.recipe.data).test), best.valid->loss) << ema_decay;
    run.recipe.epochs = result.best_epoch;
    run.recipe.early_stopping = 0;
    EXPECT_EQ(weights_sha256(run.train().model.weights), weights_sha256(result.model.weights)) << ema_decay;
  }
}

// A frozen scale and shift cost no gradient, and the layers in front of them train on.
TEST(Trainer, TrainsAroundFrozenBatchNorms) {
  TinyRun run;
  run.use_batch_norm();
  run.recipe.data = "synthetic:8x8x1:4:48:30";
  run.recipe.epochs = 3;
  run.recipe.micro_batches = 2;
  run.recipe.ema_decay = 0.8;
  const std::vector<io::NamedTensor> before = initial_weights(model::load_network(run.recipe.model), 1);
  std::vector<std::string> frozen;
  const std::string of_batch_norms = ".batch_norm.";
  for (const io::NamedTensor& weight : before)
    if (weight.name.starts_with("linear2") || weight.name.ends_with(of_batch_norms + "weight") ||
        weight.name.ends_with(of_batch_norms + "bias"))
      frozen.push_back(weight.name);
  ASSERT_EQ(frozen.size(), 6u);
  for (const std::string& name : frozen) run.recipe.tensors.push_back({.match = name, .rate_scale = {}, .decay = {}, .frozen = Switch::on});
  const std::vector<io::NamedTensor> after = run.train().model.weights;
  for (size_t i = 0; i < before.size(); ++i)
    EXPECT_EQ(after[i].bytes == before[i].bytes, std::find(frozen.begin(), frozen.end(), before[i].name) != frozen.end()) << before[i].name;
}

TEST(Trainer, BalancesTheClassesByTheirImages) {
  TinyRun run;
  run.recipe.class_weights = {ClassWeights::Kind::balanced};
  model::Network network = model::load_network(run.recipe.model);
  const TrainingData data = load_training_data(run.recipe, network);
  ASSERT_EQ(data.class_weights.size(), 4u);
  double sum = 0;
  for (const int32_t label : data.dataset.train.labels) sum += static_cast<double>(data.class_weights[static_cast<size_t>(label)]);
  EXPECT_NEAR(sum, 50, 1e-4);  // on average 1
  for (size_t label = 0; label < 4; ++label) {
    const auto count = std::count(data.dataset.train.labels.begin(), data.dataset.train.labels.end(), static_cast<int32_t>(label));
    EXPECT_NEAR(static_cast<double>(data.class_weights[label]) * 4 * static_cast<double>(count), 50, 1e-4);
  }
  run.recipe.class_weights = {ClassWeights::Kind::given, {1, 2, 3}};
  EXPECT_NE(error_text(ExitCode::config, [&] { run.train(); }).find("4 classes"), std::string::npos);
}

// Every image of one class weighs nothing: the network never learns to tell it.
TEST(Trainer, WeighsTheLossOfEachClass) {
  TinyRun run;
  run.recipe.data = "synthetic:8x8x1:4:16:16";
  run.recipe.optimizer = "adam";
  run.recipe.learning_rate = 0.02;
  run.recipe.epochs = 300;
  run.recipe.class_weights = {ClassWeights::Kind::given, {1, 1, 1, 0}};
  const TrainResult result = run.train();
  const std::vector<int32_t> labels = data::load(run.recipe.data).train.labels;
  const auto ignored = std::count(labels.begin(), labels.end(), 3);
  ASSERT_GT(ignored, 0);
  EXPECT_DOUBLE_EQ(result.history.back().train.accuracy, static_cast<double>(16 - ignored) / 16);
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
