// Training in 16 bits and with TF32, on every backend that has them: masters and working copies, averages, and who refuses.
#include <fmt/format.h>

#include <cstring>

#include "fovea/backend/registry.h"
#include "fovea/tensor/convert.h"
#include "tests/plan/small_training.h"
#include "tests/train/busy_run.h"

namespace fovea::train {
namespace {

using data::error_text;

constexpr const char* network = R"(name = "small"
input = [8, 8, 1]
layers = [
  { conv2d = 6, kernel = 3, batch_norm = true, activation = "relu" },
  { conv2d = 5, kernel = 3, padding = "same", activation = "gelu" },
  { max_pool = 2 },
  { flatten = true },
  { linear = 16, activation = "tanh" },
  { dropout = 0.1 },
  { linear = 4 },
]
)";

struct Place {
  std::string backend, precision;
};

class PrecisionTest : public testing::TestWithParam<Place> {
 protected:
  void SetUp() override {
    for (const BackendEntry& entry : list_backends())
      if (entry.name == GetParam().backend && !entry.absent_because.empty()) GTEST_SKIP() << entry.absent_because;
    backend_ = open_backend(GetParam().backend);
    precision_ = *graph::precision_named(GetParam().precision);
  }
  test::Job job(int64_t batch) const {
    test::Job job = test::job_of(model::parse_network(network, "small.toml"), batch);
    job.precision = precision_;
    job.recipe.optimizer = "adam";
    job.recipe.learning_rate = 0.01;
    job.recipe.epsilon = 1e-4;
    return job;
  }
  std::vector<std::byte> bytes_of(Session& session, const Tensor& tensor) const {
    std::vector<std::byte> bytes(tensor.bytes());
    backend_->device().download(bytes.data(), tensor.data, bytes.size(), session.stream());
    session.stream().synchronize();
    return bytes;
  }
  // Every convolution and linear layer reads a copy of its weights, rounded once; with 32 bits there are none.
  void expect_copies_of_masters(Session& session) const {
    const plan::Plan& plan = session.plan(0);
    int copies = 0;
    for (const graph::Value& value : plan.graph().values) {
      if (value.role != graph::Role::working) continue;
      const Tensor master = plan.tensor(plan.graph().value(value.copy_of).name), copy = plan.tensor(value.name);
      EXPECT_EQ(copy.dtype, precision_.values);
      EXPECT_TRUE(bytes_of(session, copy) == converted(bytes_of(session, master), DType::f32, copy.dtype)) << value.name;
      ++copies;
    }
    EXPECT_EQ(copies, precision_.has_working_copies() ? 4 : 0);
  }

  std::unique_ptr<Backend> backend_;
  graph::Precision precision_;
};

TEST_P(PrecisionTest, OverfitsOneBatch) {
  test::Job one = job(12);
  one.images = 12;
  test::Training training(one, {.backend = backend_.get()});
  const std::vector<double> losses = training.steps(80);
  EXPECT_GT(losses.front(), 1);
  EXPECT_LT(losses.back(), 0.2);
}

TEST_P(PrecisionTest, StartsNearTheLossesOfSinglePrecision) {
  test::Job single = job(12);
  single.precision = graph::fp32;
  const std::vector<double> expected = test::Training(single, {.backend = backend_.get()}).steps(5);
  const std::vector<double> losses = test::Training(job(12), {.backend = backend_.get()}).steps(5);
  for (size_t i = 0; i < losses.size(); ++i) EXPECT_NEAR(losses[i], expected[i], 0.02 * expected[i]) << i;
}

// Against a second one of the same backend only claims are something to choose: each is taken or left, by its time.
TEST_P(PrecisionTest, ClaimsTakenByTheirTimesGiveTheSameLosses) {
  const std::unique_ptr<Backend> rival = open_backend(GetParam().backend);
  std::vector<test::Job> jobs = {job(12)};
  const bool has_claims = GetParam().backend != "reference";
  for (const char* name : {"lenet5", "resnet20"}) {
    if (!has_claims) break;  // and takes seconds for them
    jobs.push_back(test::job_of(model::load_network(name), 12));
    jobs.back().precision = precision_;
  }
  for (const test::Job& one : jobs) {
    Tuning tuning;
    test::Training all(one, {.backend = backend_.get()});
    test::Training measured(one, {.backend = backend_.get(), .limits = {.tuning = &tuning}, .rivals = {rival.get()}});
    const std::vector<double> expected = all.steps(5), losses = measured.steps(5);
    for (size_t i = 0; i < losses.size(); ++i)
      EXPECT_NEAR(losses[i], expected[i], 0.02 * expected[i]) << one.network.name << ", step " << i;
    EXPECT_EQ(tuning.choices().empty(), !has_claims) << one.network.name;
  }
}

TEST_P(PrecisionTest, WorkingCopiesAreTheRoundedMasters) {
  test::Job cut = job(8);
  cut.recipe.micro_batches = 2;
  cut.recipe.tensors = {{.match = "conv1.*", .rate_scale = {}, .decay = {}, .frozen = Switch::on}};
  test::Training training(cut, {.backend = backend_.get()});
  for (int step = 0; step < 3; ++step) {
    expect_copies_of_masters(training.session);
    const std::vector<float> before = training.weights();
    training.step();
    EXPECT_NE(training.weights(), before);
  }
  expect_copies_of_masters(training.session);
  test::Training resumed(cut, {.backend = backend_.get()});
  resumed.session.write_state(training.session.read_state());
  EXPECT_EQ(resumed.weights(), training.weights());
  expect_copies_of_masters(resumed.session);
}

TEST_P(PrecisionTest, EvaluationReadsTheAverages) {
  test::Job averaging = job(8);
  averaging.recipe.ema_decay = 0.3;
  test::Training averaged(averaging, {.backend = backend_.get()}), plain(job(8), {.backend = backend_.get()});
  averaged.steps(5);
  const double of_average = evaluate(averaged.session, 1, 24, 8).loss;
  for (const StateTensor& tensor : averaged.session.read_state()) {  // running statistics are in the state, and not averaged
    std::vector<StateTensor> state = plain.session.read_state();
    for (StateTensor& other : state)
      if (other.name == tensor.name) other.bytes = tensor.bytes;
    plain.session.write_state(state);
  }
  const double of_weights = evaluate(plain.session, 1, 24, 8).loss;
  plain.session.write_weights(averaged.session.read_weights(averaging.network));
  EXPECT_EQ(evaluate(plain.session, 1, 24, 8).loss, of_average);
  EXPECT_NE(of_weights, of_average);
}

// The loss scale of a run in fp16, within what the run keeps from step to step.
class ScaledTraining {
 public:
  ScaledTraining(const test::Job& job, Backend& backend) : training_(job, {.backend = &backend}) {}

  LossScale scale() {
    LossScale scale;
    for (const StateTensor& tensor : training_.session.read_state())
      if (tensor.name == graph::loss_scale_name) std::memcpy(&scale, tensor.bytes.data(), sizeof scale);
    return scale;
  }
  void set_scale(const LossScale& scale) {
    std::vector<StateTensor> state = training_.session.read_state();
    for (StateTensor& tensor : state)
      if (tensor.name == graph::loss_scale_name) std::memcpy(tensor.bytes.data(), &scale, sizeof scale);
    training_.session.write_state(state);
  }
  test::Training& operator*() { return training_; }

 private:
  test::Training training_;
};

TEST_P(PrecisionTest, TheLossScaleFollowsTheGradients) {
  if (precision_ != graph::fp16) {
    test::Training training(job(8), {.backend = backend_.get()});
    for (const StateTensor& tensor : training.session.read_state()) EXPECT_NE(tensor.name, graph::loss_scale_name);
    return;
  }
  ScaledTraining training(job(8), *backend_);
  EXPECT_EQ(training.scale().scale, 65536);
  (*training).step();
  EXPECT_EQ(training.scale().good_steps, 1u);

  training.set_scale({.scale = 0x1p30f, .good_steps = 17});
  const std::vector<float> before = (*training).weights();
  EXPECT_TRUE(std::isfinite((*training).step()));
  EXPECT_EQ((*training).session.read_metrics().non_finite, 0u);
  EXPECT_EQ((*training).weights(), before);
  EXPECT_EQ(training.scale().scale, 0x1p29f);
  EXPECT_EQ(training.scale().good_steps, 0u);
  EXPECT_EQ(training.scale().left_out, 1u);

  training.set_scale({.scale = 1024, .good_steps = 1999, .left_out = 1});
  (*training).step();
  EXPECT_NE((*training).weights(), before);
  EXPECT_EQ(training.scale().scale, 2048);
  EXPECT_EQ(training.scale().good_steps, 0u);
  expect_copies_of_masters((*training).session);
}

std::vector<Place> places() {
  std::vector<Place> all;
  for (const BackendEntry& entry : list_backends())
    for (const char* precision : {"tf32", "bf16", "fp16"})
      if (computes_in(entry, *graph::precision_named(precision))) all.push_back({entry.name, precision});
  return all;
}
INSTANTIATE_TEST_SUITE_P(Backends, PrecisionTest, testing::ValuesIn(places()),
                         [](const auto& info) { return info.param.backend + "_" + info.param.precision; });

TEST(Precision, IsRefusedBeforeAnythingIsReadWhereTheBackendHasItNot) {
  for (const char* backend : {"eigen", "openmp"})
    for (const char* precision : {"tf32", "bf16", "fp16"}) {
      Recipe recipe;
      recipe.model = recipe.data = "there is no such thing";
      recipe.backend = backend;
      recipe.precision = precision;
      Callbacks silent;
      const std::string text = error_text(ExitCode::config, [&] { Trainer(recipe, silent); });
      EXPECT_NE(text.find(precision), std::string::npos) << text;
      EXPECT_NE(text.find("set precision = \"fp32\""), std::string::npos) << text;
    }
}

// Stopped in the middle and resumed: the same bits, the loss scale and what it has counted among them.
TEST(Precision, AResumedRunGivesTheSameBits) {
  for (const char* precision : {"bf16", "fp16"}) {
    BusyRun run;
    run.recipe.backend = "reference";
    run.recipe.precision = precision;
    run.recipe.epsilon = 1e-4;
    const std::string expected = what_came_out(*run.run("whole"));
    StopAt stop(9);
    error_text(ExitCode::requeue, [&] { run.run("stopped", stop); });
    EXPECT_EQ(what_came_out(*run.run("stopped")), expected) << precision;
  }
}

TEST(Precision, IsPartOfWhatARunIs) {
  BusyRun run;
  run.recipe.backend = "reference";
  StopAt stop(8);
  error_text(ExitCode::requeue, [&] { run.run("run", stop); });
  run.recipe.precision = "bf16";
  Callbacks silent;
  write_config(run.path("run"), run.recipe);
  const std::string text = error_text(ExitCode::data, [&] { resume_run(run.path("run"), silent); });
  EXPECT_NE(text.find("`precision`"), std::string::npos) << text;
}

}  // namespace
}  // namespace fovea::train
