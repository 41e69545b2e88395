// Any number of threads gives the same bits, with claims and without, and claims give what the steps alone give.
#include <gtest/gtest.h>

#include "fovea/backend/registry.h"
#include "tests/plan/small_training.h"

namespace fovea::train {
namespace {

struct Case {
  std::string model;
  int64_t batch;
};

class Threads : public testing::TestWithParam<Case> {
 protected:
  std::vector<float> weights_after_steps(int threads, plan::Claims claims) const {
    const std::unique_ptr<Backend> backend = open_backend("openmp");
    test::Job job = test::job_of(model::load_network(GetParam().model), GetParam().batch);
    job.images = 2 * GetParam().batch;
    test::Training training(job, {.backend = backend.get(), .limits = {threads}, .claims = claims});
    training.steps(3);
    return training.weights();
  }
};

TEST_P(Threads, AnyNumberGivesTheSameBits) {
  for (const plan::Claims claims : {plan::Claims::on, plan::Claims::off}) {
    const std::vector<float> alone = weights_after_steps(1, claims);
    for (const int threads : {2, 3, 4, 16}) EXPECT_EQ(weights_after_steps(threads, claims), alone) << threads << " threads";
  }
}

TEST_P(Threads, ClaimsGiveWhatTheStepsAloneGive) {
  EXPECT_LT(test::largest_difference(weights_after_steps(2, plan::Claims::on), weights_after_steps(2, plan::Claims::off)), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Networks, Threads,
                         testing::Values(Case{"lenet5", 64}, Case{"lenet5", 5}, Case{"cifar_cnn", 32}, Case{"cifar_cnn", 3}),
                         [](const auto& info) { return info.param.model + "_" + std::to_string(info.param.batch); });

}  // namespace
}  // namespace fovea::train
