// Steps that follow each other with nothing between them: the device counts them by itself, and they give the bits of single ones.
#include <gtest/gtest.h>

#include <cstring>

#include "fovea/backend/registry.h"
#include "tests/plan/small_training.h"
#include "tests/train/tiny_run.h"

namespace fovea::train {
namespace {

constexpr const char* random_network = R"(name = "random"
input = [12, 12, 3]
layers = [
  { conv2d = 8, kernel = 3, batch_norm = true, activation = "relu" },
  { max_pool = 2 },
  { flatten = true },
  { dropout = 0.25 },
  { linear = 5 },
]
)";

struct Way {
  std::string backend, precision;
};

class StepsAtOnce : public testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    for (const BackendEntry& entry : list_backends())
      if (entry.name == GetParam().backend && !entry.absent_because.empty()) GTEST_SKIP() << entry.absent_because;
    backend_ = open_backend(GetParam().backend);
  }

  // Batches of 8 out of 400 images, all that depends on the number of a step switched on.
  test::Job job(model::Network network, int64_t micro_batches = 1) const {
    test::Job job = test::job_of(std::move(network), 8);
    job.images = 400;
    job.precision = *graph::precision_named(GetParam().precision);
    job.recipe.optimizer = "adam";
    job.recipe.mirror = Switch::on;
    job.recipe.crop_padding = 1;
    job.recipe.ema_decay = 0.9;
    job.recipe.clip_norm = 1;
    job.recipe.micro_batches = micro_batches;
    return job;
  }
  plan::Assignment assignment(DependentLaunches launches = DependentLaunches::on) const {
    plan::Assignment assignment{.backend = backend_.get()};
    assignment.dependent_launches = launches;
    return assignment;
  }
  static StepControl control_of(int64_t step) {
    StepControl control;
    control.seed = 1;
    control.images = 400;
    control.epoch = 3;
    control.learning_rate = 0.003f;
    return control.after(step, 8);
  }
  StepControl on_device(Session& session) const {
    const Session& only_read = session;
    StepControl control;
    backend_->device().download(&control, only_read.plan(0).tensor("control").data, sizeof control, session.stream());
    session.stream().synchronize();
    return control;
  }
  void expect_same_bits(const test::Job& job) const {
    test::Training single(job, assignment(DependentLaunches::off)), together(job, assignment());
    for (test::Training* training : {&single, &together}) training->session.clear_metrics();
    for (int64_t step = 0; step < 48; ++step) {
      single.session.write_control(control_of(step));
      single.session.run(0);
    }
    int64_t step = 0;
    for (const int64_t steps : {1, 16, 3, 21, 1, 6}) {
      together.session.write_control(control_of(step));
      together.session.run(0, steps);
      step += steps;
    }
    ASSERT_EQ(step, 48);
    EXPECT_EQ(on_device(single.session), control_of(48));
    EXPECT_EQ(on_device(together.session), control_of(48));
    const Metrics a = single.session.read_metrics(), b = together.session.read_metrics();
    EXPECT_EQ(std::memcmp(&a, &b, sizeof a), 0) << a.loss_sum << " and " << b.loss_sum;
    EXPECT_EQ(a.counted, 384u);
    const std::vector<StateTensor> of_single = single.session.read_state(), of_together = together.session.read_state();
    ASSERT_EQ(of_single.size(), of_together.size());
    for (size_t i = 0; i < of_single.size(); ++i) EXPECT_TRUE(of_single[i].bytes == of_together[i].bytes) << of_single[i].name;
  }

  std::unique_ptr<Backend> backend_;
};

TEST_P(StepsAtOnce, GiveTheBitsOfSingleSteps) {
  expect_same_bits(job(model::parse_network(random_network, "random.toml")));
  expect_same_bits(job(model::parse_network(random_network, "random.toml"), 2));
  expect_same_bits(job(model::load_network("lenet5")));
}

TEST_P(StepsAtOnce, GoOnWhereTheControlSays) {
  test::Training training(job(model::parse_network(random_network, "random.toml")), assignment());
  Session& session = training.session;
  const auto expect_after = [&](const StepControl& control, int64_t steps) {
    session.write_control(control);
    session.run(0, steps);
    EXPECT_EQ(on_device(session), control.after(steps, 8));
  };
  expect_after(control_of(0), 1);
  expect_after(control_of(1), 18);
  StepControl other = control_of(19);
  other.learning_rate = 0.5f;
  expect_after(other, 2);                // what the device cannot know
  expect_after(control_of(5), 2);        // back
  session.write_control(control_of(7));  // what it holds already
  session.write_control(control_of(8));
  expect_after(control_of(7), 1);
  evaluate(session, 1, 16, 8);
  expect_after(control_of(8), 1);
  session.plan(0).run(session.stream());  // the session knows nothing of it
  expect_after(control_of(9), 1);
  session.write_metrics({.non_finite = 1});  // nothing changes any more, but steps are counted
  const std::vector<float> before = training.weights();
  expect_after(control_of(10), 17);
  EXPECT_EQ(training.weights(), before);
  EXPECT_EQ(session.read_metrics().left_out, 11u) << "1 + the first step that changed nothing";
}

std::vector<Way> all_ways() {
  std::vector<Way> ways;
  for (const BackendEntry& entry : list_backends())
    for (const graph::Precision& precision : {graph::fp32, graph::tf32, graph::bf16, graph::fp16})
      if (computes_in(entry, precision)) ways.push_back({entry.name, std::string(graph::name_of(precision))});
  return ways;
}
INSTANTIATE_TEST_SUITE_P(Backends, StepsAtOnce, testing::ValuesIn(all_ways()),
                         [](const auto& info) { return info.param.backend + "_" + info.param.precision; });

class StopsAfter : public Callbacks {
 public:
  explicit StopsAfter(int questions) : left_(questions) {}
  bool stop_requested() override { return left_-- == 0; }
  void on_note(const Note& note) override { notes.push_back(note.text); }

  std::vector<std::string> notes;

 private:
  int left_;
};

// 61 full batches of 16 and one of 6 in each of 3 epochs.
class TrainingInGroups : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    for (const BackendEntry& entry : list_backends())
      if (entry.name == GetParam() && !entry.absent_because.empty()) GTEST_SKIP() << entry.absent_because;
    run_.recipe.backend = GetParam();
    run_.recipe.data = "synthetic:8x8x1:4:982:30";
    run_.recipe.epochs = 3;
    run_.recipe.threads = 2;
    run_.recipe.autotune = "off";
  }
  std::string train(const std::string& folder, Callbacks& callbacks) const {
    Trainer trainer(run_.recipe, callbacks);
    std::filesystem::create_directories(run_.path(folder));
    trainer.save_in(run_.path(folder));
    trainer.resume();
    return weights_sha256(trainer.train().model.weights);
  }

  TinyRun run_;
};

TEST_P(TrainingInGroups, IsTheTrainingStepByStep) {
  for (const char* schedule : {"constant", "step", "cosine"}) {
    run_.recipe.schedule = schedule;
    run_.recipe.replay = run_.recipe.dependent_launch = Switch::on;
    const TrainResult grouped = run_.train();
    run_.recipe.replay = run_.recipe.dependent_launch = Switch::off;
    const TrainResult single = run_.train();
    EXPECT_EQ(weights_sha256(grouped.model.weights), weights_sha256(single.model.weights)) << schedule;
    for (size_t epoch = 0; epoch < 3; ++epoch) {
      EXPECT_EQ(grouped.history[epoch].train.loss, single.history[epoch].train.loss) << schedule;
      EXPECT_EQ(grouped.history[epoch].train.counted, 982) << schedule;
      EXPECT_EQ(grouped.history[epoch].learning_rate, single.history[epoch].learning_rate) << schedule;
    }
    EXPECT_EQ(grouped.late_allocations, 0) << schedule;
  }
}

TEST_P(TrainingInGroups, GoesOnWhereItStopped) {
  const std::string expected = weights_sha256(run_.train().model.weights);
  run_.recipe.save_every = "7 steps";
  StopsAfter never(-1);
  EXPECT_EQ(train("whole", never), expected);
  ASSERT_FALSE(never.notes.empty());
  EXPECT_NE(never.notes[1].find("after step 7:"), std::string::npos) << never.notes[1];
  for (const int questions : {3, 9, 20}) {
    StopsAfter soon(questions), not_again(-1);
    EXPECT_THROW(train("stopped", soon), Error);
    const std::optional<LoadedCheckpoint> saved = load_checkpoint(run_.path("stopped"));
    ASSERT_TRUE(saved);
    EXPECT_EQ(train("stopped", not_again), expected) << "stopped after step " << saved->checkpoint.state.step;
    std::filesystem::remove_all(run_.path("stopped"));
  }
}

TEST_P(TrainingInGroups, TakesAsManyStepsAsItIsAskedFor) {
  Callbacks silent;
  Trainer trainer(run_.recipe, silent);
  trainer.start();
  for (const int64_t steps : {1, 2, 17, 5, 30}) EXPECT_EQ(trainer.advance(steps).steps, steps);
  EXPECT_EQ(trainer.advance(100).images, 982 - 55 * 16);
}

INSTANTIATE_TEST_SUITE_P(Backends, TrainingInGroups, testing::Values("eigen", "openmp", "cuda", "cudnn"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace fovea::train
