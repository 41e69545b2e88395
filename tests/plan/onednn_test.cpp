// The backend of the vendor's library in the plans of shipped networks: whose steps are whose, and that nobody can tell how many threads
// ran.
#include <gtest/gtest.h>

#include <algorithm>

#include "fovea/backend/registry.h"
#include "tests/plan/small_training.h"

namespace fovea::plan {
namespace {

using test::Job;

class Onednn : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    for (const BackendEntry& entry : list_backends())
      if (entry.name == "onednn" && !entry.absent_because.empty()) GTEST_SKIP() << entry.absent_because;
    backend_ = open_backend("onednn");
  }
  Assignment on(int threads, Claims claims = Claims::on) {
    return {.backend = backend_.get(), .limits = {.threads = threads}, .claims = claims};
  }
  static Job job_of(const std::string& network, int64_t batch) {
    Job job = test::job_of(model::load_network(network), batch);
    job.precision = *graph::precision_named(GetParam());
    job.images = 2 * batch;
    return job;
  }

  std::unique_ptr<Backend> backend_;
};

TEST_P(Onednn, AnyNumberOfThreadsGivesTheSameBits) {
  for (const std::string name : {"lenet5", "cifar_cnn", "resnet20"}) {
    Job job = job_of(name, 32);
    job.recipe.optimizer = "adam";
    job.recipe.clip_norm = 1;
    job.recipe.ema_decay = 0.99;
    for (const Claims claims : {Claims::on, Claims::off}) {
      test::Training one(job, on(1, claims));
      const std::vector<double> losses = one.steps(3);
      const std::vector<float> weights = one.weights();
      for (const int threads : {2, 3, 16}) {
        test::Training several(job, on(threads, claims));
        EXPECT_EQ(several.steps(3), losses) << name << " on " << threads;
        EXPECT_TRUE(several.weights() == weights) << name << " on " << threads;
      }
    }
  }
}

TEST_P(Onednn, ComputesConvolutionsAndLeavesNothingToTheReference) {
  const Job job = job_of("resnet20", 32);
  const Plan plan = compile(test::training_graph(job), on(2), test::order_of(job));
  int own = 0;
  for (const Step& step : plan.steps()) {
    EXPECT_NE(step.kernel->provider(), "reference") << step.name << " " << step.what;
    const std::string algorithm = step.kernel->algorithm();
    own += step.kernel->provider() == "onednn" && (algorithm.starts_with("jit") || algorithm.starts_with("brg")) ? 1 : 0;
  }
  EXPECT_GE(own, GetParam() == "fp32" ? 18 : 50);
}

INSTANTIATE_TEST_SUITE_P(Precisions, Onednn, testing::Values("fp32", "bf16"), [](const auto& info) { return info.param; });

}  // namespace
}  // namespace fovea::plan
