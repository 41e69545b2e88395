// The backend of all cores in the plans of the shipped networks: what it fuses, that it is parallel, and that nobody can tell how far.
#include <gtest/gtest.h>

#include <algorithm>

#include "fovea/backend/registry.h"
#include "fovea/plan/dump.h"
#include "tests/plan/small_training.h"

namespace fovea::plan {
namespace {

using test::Job;

Assignment on(Backend& backend, int threads, Claims claims = Claims::on) {
  return {.backend = &backend, .limits = {.threads = threads}, .claims = claims};
}

int count_steps(const Plan& plan, std::string_view what) {
  return static_cast<int>(std::count_if(plan.steps().begin(), plan.steps().end(), [&](const Step& step) { return step.what == what; }));
}

TEST(Openmp, EveryLargeStepOfAShippedNetworkTakesAllThreads) {
  const std::unique_ptr<Backend> backend = open_backend("openmp");
  int large = 0;
  for (const std::string& name : model::list_networks())
    for (const Claims claims : {Claims::on, Claims::off}) {
      Job job = test::job_of(model::load_network(name), 32);
      job.recipe.clip_norm = 1;
      job.recipe.ema_decay = 0.99;
      const std::vector<std::string> order = test::order_of(job);
      for (graph::Graph graph : {test::training_graph(job), test::evaluation_graph(job)}) {
        const Plan plan = compile(std::move(graph), on(*backend, 4, claims), order);
        for (const Step& step : plan.steps()) {
          if (plan.bytes_of(step) < size_t{1} << 20 && step.macs < 1'000'000) continue;
          EXPECT_EQ(step.kernel->threads(), 4) << name << ": " << step.name << " " << step.what;
          EXPECT_EQ(step.kernel->provider(), "openmp") << name << ": " << step.name << " " << step.what;
          ++large;
        }
      }
    }
  EXPECT_GT(large, 1000);
}

TEST(Openmp, FusesBatchNormsWithWhatFollows) {
  const std::unique_ptr<Backend> backend = open_backend("openmp");
  const Job job = test::job_of(model::load_network("resnet20"), 4);
  test::Training training(job, on(*backend, 2));
  const Plan &step = training.session.plan(0), &evaluation = training.session.plan(1);
  for (const Plan* plan : {&step, &evaluation}) {
    EXPECT_EQ(count_steps(*plan, "batch_norm+relu"), 10);     // the stem, and one in each of nine blocks
    EXPECT_EQ(count_steps(*plan, "batch_norm+add+relu"), 7);  // the other one, but where a shortcut lies between them
  }
  EXPECT_EQ(count_steps(step, "relu_backward+batch_norm_backward"), 17);
}

TEST(Openmp, FusedBatchNormsGiveTheSameAsOneAfterTheOther) {
  const std::unique_ptr<Backend> backend = open_backend("openmp");
  for (const std::string name : {"resnet20", "mobilenet_v1"}) {
    Job job = test::job_of(model::load_network(name), 2);
    job.images = 4;
    test::Training with(job, on(*backend, 2)), without(job, on(*backend, 2, Claims::off));
    EXPECT_EQ(count_steps(without.session.plan(0), "batch_norm+relu"), 0);
    EXPECT_LT(test::largest_difference(with.steps(2), without.steps(2)), 1e-6) << name;
    EXPECT_LT(test::largest_difference(with.weights(), without.weights()), 1e-6) << name;
  }
}

TEST(Openmp, AnyNumberOfThreadsGivesTheSameBits) {
  const std::unique_ptr<Backend> backend = open_backend("openmp");
  for (const std::string name : {"lenet5", "cifar_cnn", "resnet20"}) {
    Job job = test::job_of(model::load_network(name), 8);
    job.recipe.optimizer = "adam";
    job.recipe.clip_norm = 1;
    job.recipe.ema_decay = 0.99;
    test::Training one(job, on(*backend, 1));
    const std::vector<double> losses = one.steps(3);
    const std::vector<float> weights = one.weights();
    for (const int threads : {2, 3, 4, 16}) {
      test::Training several(job, on(*backend, threads));
      EXPECT_EQ(several.steps(3), losses) << name << " on " << threads;
      EXPECT_TRUE(several.weights() == weights) << name << " on " << threads;
    }
  }
}

}  // namespace
}  // namespace fovea::plan
