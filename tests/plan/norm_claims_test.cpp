// What `cuda` makes of convolutions, batch norms, sums and relu, as one step and one by one.
#include <gtest/gtest.h>

#include <algorithm>

#include "fovea/backend/registry.h"
#include "tests/plan/small_training.h"

namespace fovea::plan {
namespace {

// Sizes at which some tensor-core products have the whole sum in a tile, and others have parts of it.
constexpr const char* network = R"(name = "norms"
input = [28, 28, 3]
init = "kaiming_normal"
layers = [
  { conv2d = 64, kernel = 3, padding = 1, batch_norm = true, activation = "relu" },
  { max_pool = 3, stride = 2, padding = 1 },
  { block = "basic", name = "same", channels = 64 },
  { block = "basic", name = "wide", channels = 96, project = true },
  { block = "basic", name = "half", channels = 128, stride = 2, project = true },
  { conv2d = 40, kernel = 1, batch_norm = true, activation = "leaky_relu", slope = 0.1 },
  { conv2d = 24, kernel = 1, batch_norm = true, activation = "gelu" },
  { global_avg_pool = true },
  { linear = 4 },
]

[block.basic]
arguments = ["channels"]
defaults = { stride = 1, project = false }
layers = [
  { conv2d = "$channels", kernel = 3, stride = "$stride", padding = 1, batch_norm = true, activation = "relu" },
  { conv2d = "$channels", kernel = 3, padding = 1, batch_norm = true },
  { conv2d = "$channels", kernel = 1, stride = "$stride", batch_norm = true, from = "input", name = "around", when = "$project" },
  { add = ["conv2", "around"], activation = "relu" },
]
)";

// Tiles of the first convolution that do not hang over its outputs: with its moments, of blocks of one tile and of two.
constexpr const char* stem = R"(name = "stem"
input = [32, 32, 3]
init = "kaiming_normal"
layers = [
  { conv2d = 64, kernel = 3, padding = 1, batch_norm = true, activation = "relu" },
  { max_pool = 3, stride = 2, padding = 1 },
  { conv2d = 32, kernel = 3, padding = 1, batch_norm = true, activation = "relu" },
  { global_avg_pool = true },
  { linear = 4 },
]
)";
constexpr const char* stem_without_pool = R"(name = "stem-without-pool"
input = [64, 64, 3]
init = "kaiming_normal"
layers = [
  { conv2d = 24, kernel = 7, stride = 2, padding = 3, batch_norm = true, activation = "relu" },
  { global_avg_pool = true },
  { linear = 4 },
]
)";

// Ends of branches that are wider than what they are made of, and whose sizes are no multiples of a tile.
constexpr const char* necks = R"(name = "necks"
input = [14, 14, 3]
init = "kaiming_normal"
layers = [
  { conv2d = 32, kernel = 3, padding = 1, batch_norm = true, activation = "relu" },
  { block = "neck", name = "both", channels = 32, project = true },
  { block = "neck", name = "same", channels = 32 },
  { block = "neck", name = "wide", channels = 40, project = true },
  { conv2d = 16, kernel = 1, batch_norm = true, activation = "relu" },
  { global_avg_pool = true },
  { linear = 4 },
]

[block.neck]
arguments = ["channels"]
defaults = { project = false }
layers = [
  { conv2d = "$channels", kernel = 3, padding = 1, batch_norm = true, activation = "relu" },
  { conv2d = "4 * $channels", kernel = 1, batch_norm = true },
  { conv2d = "4 * $channels", kernel = 1, batch_norm = true, from = "input", name = "around", when = "$project" },
  { add = ["conv2", "around"], activation = "relu" },
]
)";

class NormClaims : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    for (const BackendEntry& entry : list_backends())
      if (entry.name == "cuda" && !entry.absent_because.empty()) GTEST_SKIP() << entry.absent_because;
    backend_ = open_backend("cuda");
    job_.precision = *graph::precision_named(GetParam());
    job_.recipe.learning_rate = 0.02;
  }
  test::Training training(Claims claims) { return test::Training(job_, {.backend = backend_.get(), .claims = claims}); }

  void use(const char* text, int64_t batch) {
    const test::Job before = std::move(job_);
    job_ = test::job_of(model::parse_network(text, "norms.toml"), batch);
    job_.images = batch;
    job_.precision = before.precision;
    job_.recipe.learning_rate = before.recipe.learning_rate;
  }
  void expect_results_of_parts() {
    test::Training with = training(Claims::on), without = training(Claims::off);
    const double tolerance = job_.precision.has_working_copies() ? 0.01 : 1e-6;
    EXPECT_LT(test::largest_difference(with.steps(4), without.steps(4)), tolerance);
    EXPECT_LT(test::largest_difference(with.weights(), without.weights()), tolerance);
  }

  std::unique_ptr<Backend> backend_;
  test::Job job_ = test::job_of(model::parse_network(network, "norms.toml"), 24);
};

template <class Wanted>
auto count(const Plan& plan, Wanted wanted) {
  return std::count_if(plan.steps().begin(), plan.steps().end(), wanted);
}

TEST_P(NormClaims, TakeEveryNormWithWhatIsAroundIt) {
  test::Training with = training(Claims::on);
  const Plan& plan = with.session.plan(0);
  const auto ends_with = [](std::string_view end) { return [end](const Step& step) { return step.what.ends_with(end); }; };
  EXPECT_EQ(count(plan, ends_with("batch_norm+relu")), 3);
  EXPECT_EQ(count(plan, ends_with("batch_norm+relu+max_pool")), 1);
  EXPECT_EQ(count(plan, ends_with("batch_norm+add+relu")), 3);
  EXPECT_EQ(count(plan, ends_with("batch_norm+leaky_relu")), 1);
  const bool on_tensor_cores = job_.precision.has_working_copies();
  EXPECT_EQ(count(plan, ends_with("relu_backward+batch_norm_backward")), on_tensor_cores ? 6 : 8);
  EXPECT_EQ(count(plan, ends_with("conv2d_backward_data+relu_backward")), on_tensor_cores ? 2 : 0);
  EXPECT_EQ(count(plan, ends_with("activation_backward")), 0);
  EXPECT_EQ(count(plan, [](const Step& step) { return step.kernel->algorithm().ends_with("relu by its input"); }), 4);
  const auto of_tiles = count(plan, [](const Step& step) { return step.what.starts_with("conv2d+batch_norm"); });
  EXPECT_EQ(of_tiles, on_tensor_cores ? 6 : 0);
  EXPECT_EQ(count(plan, [](const Step& step) { return step.what == "two conv2d+batch_norm+add+relu"; }), on_tensor_cores ? 1 : 0);
  EXPECT_EQ(count(plan, [](const Step& step) { return step.what == "two batch_norm_backward"; }), on_tensor_cores ? 1 : 0);
}

TEST_P(NormClaims, TakeTheFirstConvolutionWithItsMoments) {
  const bool on_tensor_cores = job_.precision.has_working_copies();
  const auto is = [](std::string_view what) { return [what](const Step& step) { return step.what == what; }; };
  use(stem, 80);
  const test::Training pooled = training(Claims::on);
  EXPECT_EQ(count(pooled.session.plan(0), is("conv2d+batch_norm+relu+max_pool")), on_tensor_cores ? 1 : 0);
  EXPECT_EQ(count(pooled.session.plan(0), is("batch_norm+relu+max_pool")), on_tensor_cores ? 0 : 1);
  use(stem_without_pool, 150);
  const test::Training alone = training(Claims::on);
  EXPECT_EQ(count(alone.session.plan(0), is("conv2d+batch_norm+relu")), on_tensor_cores ? 1 : 0);
}

TEST_P(NormClaims, KeepNoWideEndOfABranch) {
  const bool on_tensor_cores = job_.precision.has_working_copies();
  use(necks, 24);
  const test::Training with = training(Claims::on), without = training(Claims::off);
  const Plan& plan = with.session.plan(0);
  std::vector<std::string> forward, backward;
  for (const Step& step : plan.steps()) {
    if (step.what.find("twice+") == std::string::npos && !step.what.starts_with("two conv2d twice")) continue;
    const std::span<const graph::Node> nodes = std::span(plan.graph().nodes).subspan(step.first_node, step.nodes);
    const bool is_backward = step.what.ends_with("backward");
    (is_backward ? backward : forward).push_back(step.what);
    const graph::ValueId x = is_backward ? nodes[0].in[0] : nodes[0].out[0];
    EXPECT_EQ(plan.placement(x).where, Placement::Where::nowhere) << step.name;
    if (step.what.starts_with("two")) {
      EXPECT_EQ(plan.placement(nodes[2].out[0]).where, Placement::Where::nowhere) << step.name;
    }
  }
  const std::vector<std::string> wide = {"two conv2d twice+batch_norm+add+relu", "conv2d twice+batch_norm+add+relu",
                                         "conv2d twice+conv2d+batch_norm+add+relu"};
  EXPECT_EQ(forward, on_tensor_cores ? wide : std::vector<std::string>());
  const std::vector<std::string> gradients = {"conv2d of 40 twice+batch_norm_backward", "conv2d of 32 twice+batch_norm_backward",
                                              "conv2d of 32 twice+batch_norm_backward", "conv2d of 32 twice+batch_norm_backward"};
  EXPECT_EQ(backward, on_tensor_cores ? gradients : std::vector<std::string>());
  const Plan& evaluation = with.session.plan(1);
  EXPECT_EQ(count(evaluation, [](const Step& step) { return step.what.starts_with("conv2d twice"); }), 0);
}

TEST_P(NormClaims, GiveTheResultsOfTheirPartsFromWideEndsOn) {
  use(necks, 24);
  expect_results_of_parts();
  use(necks, 1);  // less than a tile
  expect_results_of_parts();
}

TEST_P(NormClaims, GiveTheSameBitsAgainFromWideEndsOn) {
  use(necks, 24);
  test::Training once = training(Claims::on), again = training(Claims::on);
  EXPECT_EQ(once.steps(4), again.steps(4));
  EXPECT_EQ(once.weights(), again.weights());
}

TEST_P(NormClaims, GiveTheResultsOfTheirParts) { expect_results_of_parts(); }

TEST_P(NormClaims, GiveTheResultsOfTheirPartsFromTheFirstConvolutionOn) {
  use(stem, 80);
  expect_results_of_parts();
  use(stem_without_pool, 150);
  expect_results_of_parts();
}

TEST_P(NormClaims, GiveTheSameBitsAgain) {
  test::Training once = training(Claims::on), again = training(Claims::on);
  EXPECT_EQ(once.steps(4), again.steps(4));
  EXPECT_EQ(once.weights(), again.weights());
}

INSTANTIATE_TEST_SUITE_P(Precisions, NormClaims, testing::Values("fp32", "bf16", "fp16"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace fovea::plan
