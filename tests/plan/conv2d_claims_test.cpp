// What `cuda` makes of convolutions, biases, relu and pooling, as one step and one by one.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "fovea/backend/registry.h"
#include "tests/plan/small_training.h"

namespace fovea::plan {
namespace {

// 35 images whose outputs of the second convolution are more than a slice: the last slice is a smaller one. Gradients by the image of few
// channels, of more, of sizes at which tiles are not full, and of sums in parts. `size`: pixels along a side of an image.
std::string network(int size) {
  return fmt::format("name = \"claims\"\ninput = [{0}, {0}, 8]\n", size) + R"(layers = [
  { conv2d = 24, kernel = 3, padding = 1, activation = "relu" },
  { conv2d = 32, kernel = 3, padding = 1, activation = "relu" },
  { max_pool = 2 },
  { conv2d = 64, kernel = 3, padding = 1, activation = "relu" },
  { conv2d = 72, kernel = 3, padding = 1, activation = "relu" },
  { conv2d = 8, kernel = 3, padding = 1, activation = "relu" },
  { max_pool = 3 },
  { conv2d = 128, kernel = 3, activation = "relu" },
  { conv2d = 128, kernel = 9, activation = "relu" },
  { max_pool = 3 },
  { flatten = true },
  { linear = 4 },
]
)";
}

class Conv2dClaims : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    for (const BackendEntry& entry : list_backends())
      if (entry.name == "cuda" && !entry.absent_because.empty()) GTEST_SKIP() << entry.absent_because;
    backend_ = open_backend("cuda");
    use(128);
  }
  void use(int size) {
    job_ = test::job_of(model::parse_network(network(size), "claims.toml"), 35);
    job_.precision = *graph::precision_named(GetParam());
    job_.images = 70;
  }
  test::Training training(Claims claims) { return test::Training(job_, {.backend = backend_.get(), .claims = claims}); }
  void expect_the_results_of_the_parts() {
    test::Training with = training(Claims::on), without = training(Claims::off);
    const double tolerance = job_.precision.has_working_copies() ? 0.01 : 1e-6;
    EXPECT_LT(test::largest_difference(with.steps(4), without.steps(4)), tolerance);
    EXPECT_LT(test::largest_difference(with.weights(), without.weights()), tolerance);
  }

  std::unique_ptr<Backend> backend_;
  test::Job job_;
};

TEST_P(Conv2dClaims, TakeWhatIsAroundThem) {
  test::Training with = training(Claims::on);
  const auto count = [&](auto is_wanted) {
    const Plan& plan = with.session.plan(0);
    return std::count_if(plan.steps().begin(), plan.steps().end(), is_wanted);
  };
  EXPECT_EQ(count([](const Step& step) { return step.what == "conv2d+bias+relu+max_pool"; }), 3);
  EXPECT_EQ(count([](const Step& step) { return step.kernel->algorithm().find(" slices: ") != std::string::npos; }), 1);
  const auto gradients = count([](const Step& step) { return step.what == "conv2d_backward_data+relu_backward+bias_backward"; });
  EXPECT_EQ(gradients, job_.precision.has_working_copies() ? 4 : 0);
}

TEST_P(Conv2dClaims, GiveTheSameBitsAgain) {
  test::Training once = training(Claims::on), again = training(Claims::on);
  EXPECT_EQ(once.steps(4), again.steps(4));
  EXPECT_EQ(once.weights(), again.weights());
}

TEST_P(Conv2dClaims, GiveTheResultsOfTheirParts) { expect_the_results_of_the_parts(); }

// Tiles hang over the edge. Not in bf16, where the weights are 0.015 apart after four updates; FewChannels has exact sums of such tiles.
class Conv2dClaimsAtTheEdge : public Conv2dClaims {};
TEST_P(Conv2dClaimsAtTheEdge, GiveTheResultsOfTheirParts) {
  use(126);
  expect_the_results_of_the_parts();
}

INSTANTIATE_TEST_SUITE_P(Precisions, Conv2dClaims, testing::Values("fp32", "bf16", "fp16"),
                         [](const auto& info) { return std::string(info.param); });
INSTANTIATE_TEST_SUITE_P(Precisions, Conv2dClaimsAtTheEdge, testing::Values("fp32", "fp16"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace fovea::plan
