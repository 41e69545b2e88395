// Plans that compute activations again instead of keeping them: the same bits, in less memory.
#include <gtest/gtest.h>

#include <algorithm>

#include "fovea/backend/registry.h"
#include "fovea/graph/recompute.h"
#include "tests/plan/small_training.h"

namespace fovea::plan {
namespace {

using graph::Graph;
using graph::Node;
using graph::ValueId;

// What is computed again out of convolutions, poolings, dropout and each other, across a view too.
constexpr const char* network = R"(name = "again"
input = [16, 16, 3]
classes = 4
batch_norm = { momentum = 0.25 }
layers = [
  { conv2d = 8, kernel = 3, padding = 1, batch_norm = true, activation = "relu" },
  { max_pool = 2 },
  { block = "residual", name = "same", channels = 8, repeat = 2 },
  { block = "residual", name = "half", channels = 12, repeat = 2, first = { stride = 2, project = true } },
  { shortcut = 12, stride = 2, from = "same" },
  { concat = ["half", "shortcut1"] },
  { conv2d = 6, kernel = 1, batch_norm = true, activation = "gelu" },
  { dropout = 0.25 },
  { batch_norm = true },
  { flatten = true },
  { linear = 9, batch_norm = true, activation = "tanh" },
  { linear = "$classes" },
]

[block.residual]
arguments = ["channels"]
defaults = { stride = 1, project = false }
layers = [
  { conv2d = "$channels", kernel = 3, stride = "$stride", padding = 1, batch_norm = true, activation = "relu" },
  { conv2d = "$channels", kernel = 3, padding = 1, batch_norm = true },
  { conv2d = "$channels", kernel = 1, stride = "$stride", batch_norm = true, from = "input", name = "around", when = "$project" },
  { add = ["conv2", "around"], activation = "relu" },
]
)";

test::Job job_of(model::Network of, int64_t batch, train::Switch recompute) {
  test::Job job = test::job_of(std::move(of), batch);
  job.recipe.recompute = recompute;
  return job;
}
test::Job small_job(train::Switch recompute) {
  test::Job job = job_of(model::parse_network(network, "again.toml"), 8, recompute);
  job.recipe.learning_rate = 0.1;
  job.recipe.momentum = 0.9;
  return job;
}

bool is_again(const Node& node) { return node.name.ends_with(graph::again_suffix); }
std::vector<std::string> names_again(const Graph& graph) {
  std::vector<std::string> names;
  for (const Node& node : graph.nodes)
    if (is_again(node)) names.push_back(graph.value(node.out[0]).name);
  return names;
}
class Recompute : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    for (const BackendEntry& entry : list_backends())
      if (entry.name == GetParam() && !entry.absent_because.empty()) GTEST_SKIP() << entry.absent_because;
    backend_ = open_backend(GetParam());
  }

  // With running statistics.
  std::vector<float> weights_after_steps(const test::Job& job, Claims claims, int steps = 4) {
    test::Training training(job, {.backend = backend_.get(), .limits = {.threads = 2}, .claims = claims});
    training.steps(steps);
    return training.weights();
  }
  Plan plan(const test::Job& job) { return compile(test::training_graph(job), {.backend = backend_.get()}, test::order_of(job)); }
  size_t activations(const test::Job& job) { return plan(job).arena_bytes()[static_cast<size_t>(Arena::activations)]; }
  void expect_share(const std::string& name, int64_t batch, double share) {
    const model::Network of = model::load_network(name);
    const double with = static_cast<double>(activations(job_of(of, batch, train::Switch::on)));
    const double without = static_cast<double>(activations(job_of(of, batch, train::Switch::off)));
    EXPECT_LT(with, share * without) << name << " on " << GetParam();
  }

  std::unique_ptr<Backend> backend_;
};

TEST_P(Recompute, GivesTheSameBits) {
  for (const Claims claims : {Claims::on, Claims::off})
    for (const int64_t micro_batches : {1, 3}) {
      test::Job with = small_job(train::Switch::on), without = small_job(train::Switch::off);
      with.recipe.micro_batches = without.recipe.micro_batches = micro_batches;
      const std::vector<float> expected = weights_after_steps(without, claims);
      EXPECT_TRUE(std::all_of(expected.begin(), expected.end(), [](float value) { return std::isfinite(value); }));
      EXPECT_TRUE(weights_after_steps(with, claims) == expected)
          << (claims == Claims::on ? "claims" : "no claims") << ", micro-batches " << micro_batches;
      with.recipe.tensors = without.recipe.tensors = {{.match = "same.*", .rate_scale = {}, .decay = {}, .frozen = train::Switch::on}};
      EXPECT_TRUE(weights_after_steps(with, claims) == weights_after_steps(without, claims)) << "frozen";
    }
}

class RecomputeOnHosts : public Recompute {};
TEST_P(RecomputeOnHosts, TakesLessMemory) {
  expect_share("resnet20", 16, 0.78);
  expect_share("resnet50", 2, 0.68);
  expect_share("mobilenet_v1", 2, 0.62);
}

INSTANTIATE_TEST_SUITE_P(Backends, RecomputeOnHosts, testing::Values("reference", "eigen", "openmp", "onednn"),
                         [](const auto& info) { return info.param; });
INSTANTIATE_TEST_SUITE_P(Backends, Recompute, testing::Values("reference", "eigen", "openmp", "onednn", "cuda", "cudnn"),
                         [](const auto& info) { return info.param; });

// Of backends that have these types.
class RecomputeIn16Bits : public Recompute {};
TEST_P(RecomputeIn16Bits, GivesTheSameBits) {
  for (const Claims claims : {Claims::on, Claims::off}) {
    test::Job with = small_job(train::Switch::on), without = small_job(train::Switch::off);
    with.precision = without.precision = *graph::precision_named("bf16");
    EXPECT_TRUE(weights_after_steps(with, claims) == weights_after_steps(without, claims)) << (claims == Claims::on ? "claims" : "none");
  }
}
INSTANTIATE_TEST_SUITE_P(Backends, RecomputeIn16Bits, testing::Values("reference", "onednn"), [](const auto& info) { return info.param; });

// What two branches give is summed up before it is rounded where it is computed again, but not always the first time; so are norms that
// only an activation behind them reads any more.
class RecomputeIn16BitsOnGpus : public Recompute {};
TEST_P(RecomputeIn16BitsOnGpus, GivesTheSameButForTheirRounding) {
  for (const Claims claims : {Claims::on, Claims::off})
    for (const char* precision : {"bf16", "fp16"}) {
      test::Job with = small_job(train::Switch::on), without = small_job(train::Switch::off);
      with.precision = without.precision = *graph::precision_named(precision);
      EXPECT_LT(test::largest_difference(weights_after_steps(with, claims, 1), weights_after_steps(without, claims, 1)), 1e-2) << precision;
    }
}
INSTANTIATE_TEST_SUITE_P(Backends, RecomputeIn16BitsOnGpus, testing::Values("cuda", "cudnn"), [](const auto& info) { return info.param; });

TEST(RecomputeInPlans, IsOffUntilItIsAskedFor) {
  EXPECT_EQ(train::Recipe().recompute, train::Switch::off);
  EXPECT_EQ(names_again(test::training_graph(small_job(train::Switch::off))), std::vector<std::string>());
  EXPECT_FALSE(names_again(test::training_graph(small_job(train::Switch::on))).empty());
  const Graph without = test::training_graph(job_of(model::load_network("cifar_cnn"), 4, train::Switch::off));
  EXPECT_EQ(test::training_graph(job_of(model::load_network("cifar_cnn"), 4, train::Switch::on)).nodes.size(), without.nodes.size());
}

TEST(RecomputeInPlans, RepeatsEachValueOnceInItsOwnMicroBatch) {
  test::Job job = small_job(train::Switch::on);
  const std::vector<std::string> alone = names_again(test::training_graph(job));
  job.recipe.micro_batches = 2;
  const Graph graph = test::training_graph(job);
  std::vector<std::string> names = names_again(graph);
  EXPECT_EQ(names.size(), 2 * alone.size());
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
  std::vector<int> written_by(graph.values.size(), -1);
  for (const Node& node : graph.nodes) {
    for (const ValueId id : node.in)
      if (const int writer = written_by[static_cast<size_t>(graph.storage_of(id))]; writer >= 0 && is_again(node)) {
        EXPECT_EQ(writer, node.micro_batch) << node.name;
      }
    for (const ValueId id : node.out) written_by[static_cast<size_t>(id)] = node.micro_batch;
  }
}

TEST(RecomputeInPlans, LeavesTheStepsOfGradientsTogether) {
  const std::unique_ptr<Backend> backend = open_backend("openmp");
  const auto steps_of = [&](train::Switch recompute) {
    const test::Job job = job_of(model::load_network("resnet50"), 2, recompute);
    return compile(test::training_graph(job), {.backend = backend.get()}, test::order_of(job));
  };
  const Plan with = steps_of(train::Switch::on), without = steps_of(train::Switch::off);
  const auto names = [](const Plan& plan) {
    std::vector<std::string> names;
    for (const Step& step : plan.steps())
      if (!step.name.ends_with(graph::again_suffix))
        names.push_back(step.name + ": " + step.what + " of " + std::to_string(plan.bytes_of(step)));
    return names;
  };
  EXPECT_EQ(names(with), names(without));
  for (const Step& step : with.steps())
    if (step.name.ends_with(graph::again_suffix)) {
      EXPECT_TRUE(step.what == "batch_norm+relu" || step.what == "batch_norm+add+relu" || step.what == "batch_norm_inference") << step.what;
    }
}

}  // namespace
}  // namespace fovea::plan
