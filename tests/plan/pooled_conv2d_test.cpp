// A convolution and the pooling behind it in slices of the images, against the two one after the other.
#include <gtest/gtest.h>

#include <algorithm>

#include "fovea/backend/registry.h"
#include "tests/plan/small_training.h"

namespace fovea::plan {
namespace {

// 35 images whose outputs of the first convolution are more than a slice: the last slice is a smaller one.
constexpr const char* network = R"(name = "pools"
input = [128, 128, 8]
layers = [
  { conv2d = 32, kernel = 3, padding = 1, activation = "relu" },
  { max_pool = 2 },
  { conv2d = 8, kernel = 3, padding = 1, activation = "relu" },
  { max_pool = 3 },
  { flatten = true },
  { linear = 4 },
]
)";

class PooledConv2d : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    for (const BackendEntry& entry : list_backends())
      if (entry.name == "cuda" && !entry.absent_because.empty()) GTEST_SKIP() << entry.absent_because;
    backend_ = open_backend("cuda");
    job_.precision = *graph::precision_named(GetParam());
    job_.images = 70;
  }
  test::Training training(Claims claims) { return test::Training(job_, {.backend = backend_.get(), .claims = claims}); }

  std::unique_ptr<Backend> backend_;
  test::Job job_ = test::job_of(model::parse_network(network, "pools.toml"), 35);
};

TEST_P(PooledConv2d, IsCutIntoSlices) {
  test::Training with = training(Claims::on);
  const auto is_cut = [](const Step& step) {
    return step.what == "conv2d+bias+relu+max_pool" && step.kernel->algorithm().find(" slices: ") != std::string::npos;
  };
  const Plan& plan = with.session.plan(0);
  EXPECT_EQ(std::count_if(plan.steps().begin(), plan.steps().end(), is_cut), 1);
}

TEST_P(PooledConv2d, GivesTheResultsOfItsParts) {
  test::Training with = training(Claims::on), without = training(Claims::off);
  const double tolerance = job_.precision.has_working_copies() ? 0.01 : 1e-6;
  EXPECT_LT(test::largest_difference(with.steps(4), without.steps(4)), tolerance);
  EXPECT_LT(test::largest_difference(with.weights(), without.weights()), tolerance);
}

INSTANTIATE_TEST_SUITE_P(Precisions, PooledConv2d, testing::Values("fp32", "bf16", "fp16"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace fovea::plan
