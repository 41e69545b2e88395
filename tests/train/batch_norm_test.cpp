// Batch norms over a whole run: their running statistics in steps, plans and saved models.
#include <gtest/gtest.h>

#include "fovea/backend/registry.h"
#include "fovea/base/file.h"
#include "tests/plan/small_training.h"
#include "tests/train/tiny_run.h"

namespace fovea::train {
namespace {

using data::error_text;

constexpr const char* text = R"(name = "normed"
input = [8, 8, 1]
classes = 10
layers = [
  { conv2d = 4, kernel = 3, batch_norm = { momentum = 0.25 }, activation = "relu" },
  { conv2d = 4, kernel = 1, from = "input", stride = 3, name = "around" },
  { max_pool = 3, from = "conv1", name = "pooled" },
  { conv2d = 4, kernel = 1, padding = [0, 1, 0, 1] },
  { add = ["conv3", "around"] },
  { flatten = true },
  { linear = 6, batch_norm = true, activation = "relu" },
  { linear = "$classes" },
]
)";

test::Job job_of(int64_t batch, int64_t micro_batches) {
  test::Job job = test::job_of(model::parse_network(text, "normed.toml"), batch);
  job.recipe.micro_batches = micro_batches;
  return job;
}

std::vector<float> values_of(test::Training& training, const std::string& name) {
  const std::span<const float> values = training.session.plan(0).tensor(name).as<float>();
  return {values.begin(), values.end()};
}

void expect_running_statistics(int64_t batch_size, const std::vector<int64_t>& images) {
  const std::unique_ptr<Backend> backend = open_backend("reference");
  test::Training training(job_of(batch_size, static_cast<int64_t>(images.size())), {.backend = backend.get()});
  training.step();
  std::vector<float> mean(4, 0.0f), variance(4, 1.0f);
  for (size_t part = 0; part < images.size(); ++part) {
    const std::string name = "conv1.batch_norm_forward.{}" + (part > 0 ? "@" + std::to_string(part) : "");
    const auto batch = [&](const char* output) { return values_of(training, std::string(name).replace(name.find("{}"), 2, output)); };
    const std::vector<float> batch_mean = batch("1"), batch_variance = batch("2");
    const float rows = static_cast<float>(images[part] * 6 * 6);
    for (size_t c = 0; c < 4; ++c) {
      mean[c] += 0.25f * (batch_mean[c] - mean[c]);
      variance[c] += 0.25f * (batch_variance[c] * rows / (rows - 1) - variance[c]);
    }
  }
  const std::vector<float> found_mean = values_of(training, "conv1.batch_norm.running_mean");
  const std::vector<float> found_variance = values_of(training, "conv1.batch_norm.running_variance");
  EXPECT_LT(test::largest_difference(found_mean, mean), 1e-6);
  EXPECT_LT(test::largest_difference(found_variance, variance), 1e-6);
}

TEST(BatchNorm, RunningStatisticsFollowTheBatch) { expect_running_statistics(7, {7}); }
TEST(BatchNorm, RunningStatisticsFollowEveryMicroBatchInTurn) { expect_running_statistics(8, {3, 3, 2}); }

TEST(BatchNorm, PlansOfARunShareTheStatistics) {
  const std::unique_ptr<Backend> backend = open_backend("reference");
  test::Training training(job_of(6, 1), {.backend = backend.get()});
  for (const char* name : {"conv1.batch_norm.running_mean", "linear1.batch_norm.running_variance"})
    EXPECT_EQ(training.session.plan(0).tensor(name).data, training.session.plan(1).tensor(name).data) << name;
}

// Tiny, but with batch norms and twice as many classes as the data has.
class NormedRun : public TinyRun {
 public:
  NormedRun() {
    replace_file(this->recipe.model, text);
    this->recipe.epochs = 3;
  }
};

void expect_saved_model_to_evaluate_the_same(const NormedRun& run) {
  const TrainResult result = run.train();
  save_model(run.path("best.safetensors"), result.model);
  const SavedModel model = load_model(run.path(""));
  EXPECT_EQ(model.network.outputs, 4);
  EXPECT_EQ(model.weights.size(), model.network.parameters.size());

  const data::Dataset dataset = data::load(run.recipe.data);
  const std::unique_ptr<Backend> backend = open_backend(run.recipe.backend);
  const auto evaluated = [&](const std::vector<io::NamedTensor>& weights) {
    Session session({.backend = backend.get()});
    std::vector<std::string> order;
    for (const model::Parameter& parameter : model.network.parameters)
      if (parameter.trained == model::Trained::yes) order.push_back(parameter.name);
    session.add(evaluation_graph(model.network, model.preprocessing, {.images = 30, .batch = 16}), order, dataset.test);
    session.place();
    session.write_weights(weights);
    return evaluate(session, 0, 30, 16).loss;
  };
  EXPECT_EQ(evaluated(model.weights), result.test.loss);

  std::vector<io::NamedTensor> other = model.weights;
  const auto mean = std::find_if(other.begin(), other.end(), [](const auto& weight) { return weight.name.ends_with("running_mean"); });
  ASSERT_NE(mean, other.end());
  reinterpret_cast<float*>(mean->bytes.data())[0] += 1;
  EXPECT_NE(evaluated(other), result.test.loss);
  EXPECT_NE(weights_sha256(other), weights_sha256(model.weights));
}

TensorRule frozen(const std::string& match) {
  TensorRule rule;
  rule.match = match;
  rule.frozen = Switch::on;
  return rule;
}

TEST(BatchNorm, ASavedModelEvaluatesWithItsStatistics) { expect_saved_model_to_evaluate_the_same(NormedRun()); }

TEST(BatchNorm, SoDoesOneOfAveragedWeights) {
  NormedRun run;
  run.recipe.ema_decay = 0.5;
  expect_saved_model_to_evaluate_the_same(run);
}

TEST(BatchNorm, StatisticsFollowTheBatchesOfAFrozenLayer) {
  NormedRun run;
  run.recipe.tensors = {frozen("conv1*")};
  const SavedModel later = run.train().model;
  run.recipe.epochs = 1;
  const SavedModel earlier = run.train().model;
  for (size_t i = 0; i < later.weights.size(); ++i)
    if (later.weights[i].name.starts_with("conv1")) {
      EXPECT_EQ(later.weights[i].bytes == earlier.weights[i].bytes, later.weights[i].name.find("running") == std::string::npos)
          << later.weights[i].name;
    }
}

TEST(BatchNorm, SettingsByTensorAreNotOfStatistics) {
  NormedRun run;
  run.recipe.tensors = {frozen("*.running_mean")};
  EXPECT_NE(error_text(ExitCode::config, [&] { run.train(); }).find("matches none of the 12 parameters"), std::string::npos);
  run.recipe.tensors = {frozen("*")};
  EXPECT_NE(error_text(ExitCode::config, [&] { run.train(); }).find("all 12 parameters"), std::string::npos);
}

TEST(BatchNorm, ALastBatchOfOneImageIsRefusedBeforeTheFirstStep) {
  NormedRun run;
  const int64_t images = data::load(run.recipe.data).train.count;
  for (run.recipe.batch = 2; images % run.recipe.batch != 1;) ++run.recipe.batch;
  const std::string said = error_text(ExitCode::config, [&] { run.train(); });
  EXPECT_NE(said.find("layer `linear1` normalises over a batch, but gets 1 image"), std::string::npos) << said;
  ++run.recipe.batch;
  EXPECT_NO_THROW(run.train());
}

}  // namespace
}  // namespace fovea::train
