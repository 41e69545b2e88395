// Small networks whose steps are few launches, against the same networks node by node.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "fovea/backend/registry.h"
#include "fovea/plan/compile.h"
#include "fovea/plan/dump.h"
#include "tests/plan/small_training.h"

namespace fovea::train {
namespace {

constexpr const char* odd_network = R"(name = "odd"
input = [13, 12, 2]
layers = [
  { conv2d = 10, kernel = 3, padding = 1, activation = "relu" },
  { max_pool = 2 },
  { conv2d = 8, kernel = 3, padding = 1, activation = "relu" },
  { conv2d = 22, kernel = 2, activation = "relu" },
  { max_pool = 2 },
  { flatten = true },
  { linear = 5 },
]
)";

struct Case {
  std::string model, precision;
  int64_t batch = 16, micro_batches = 1;
  float smoothing = 0;
  std::vector<float> class_weights = {};
};
std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.model << " " << c.precision << " " << c.batch; }

class SmallNet : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    for (const BackendEntry& entry : list_backends())
      if (entry.name == "cuda" && !entry.absent_because.empty()) GTEST_SKIP() << entry.absent_because;
    backend_ = open_backend("cuda");
  }

  test::Job job() const {
    const Case& c = GetParam();
    test::Job job = test::job_of(c.model == "odd" ? model::parse_network(odd_network, "odd.toml") : model::load_network(c.model), c.batch);
    job.precision = *graph::precision_named(c.precision);
    job.images = 3 * c.batch;
    job.recipe.micro_batches = c.micro_batches;
    job.recipe.label_smoothing = static_cast<double>(c.smoothing);
    job.recipe.optimizer = "sgd";
    job.recipe.learning_rate = 0.01;
    job.class_weights = c.class_weights;
    return job;
  }
  plan::Assignment with(plan::Claims claims) const { return {.backend = backend_.get(), .claims = claims}; }

  std::vector<float> read(test::Training& training, const std::string& value) const {
    Session& session = training.session;
    const Tensor tensor = session.plan(0).tensor(value);
    std::vector<float> values(static_cast<size_t>(tensor.shape.elements()));
    backend_->device().download(values.data(), tensor.data, tensor.bytes(), session.stream());
    session.stream().synchronize();
    return values;
  }

  std::unique_ptr<Backend> backend_;
};

size_t count_steps(const plan::Plan& plan) {
  return static_cast<size_t>(
      std::count_if(plan.steps().begin(), plan.steps().end(), [](const plan::Step& step) { return step.what.starts_with("small_net("); }));
}

// |a - b| / |b|
double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    norm += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(difference / norm);
}

TEST_P(SmallNet, GivesTheGradientsOfItsParts) {
  test::Training fused(job(), with(plan::Claims::on)), plain(job(), with(plan::Claims::off));
  ASSERT_EQ(count_steps(fused.session.plan(0)), static_cast<size_t>(GetParam().micro_batches));
  ASSERT_EQ(count_steps(fused.session.plan(1)), 1u);
  ASSERT_EQ(count_steps(plain.session.plan(0)), 0u);
  EXPECT_EQ(fused.session.plan(0).macs(), plain.session.plan(0).macs());
  // Values that are rounded to 8 (bf16) or 11 bits in several places, here in fewer.
  const double tolerance = GetParam().precision == "bf16" ? 0.03 : 0.005;
  const double expected = plain.step();
  EXPECT_NEAR(fused.step(), expected, 0.1 * tolerance * expected);
  for (const model::Parameter& parameter : job().network.parameters)
    EXPECT_LT(distance(read(fused, parameter.name + ".grad"), read(plain, parameter.name + ".grad")), tolerance) << parameter.name;
  const train::Scores of_fused = evaluate(fused.session, 1, job().images, GetParam().batch);
  const train::Scores of_plain = evaluate(plain.session, 1, job().images, GetParam().batch);
  EXPECT_NEAR(of_fused.loss, of_plain.loss, 0.2 * tolerance * of_plain.loss);
}

TEST_P(SmallNet, GivesTheSameBitsAgain) {
  test::Training first(job(), with(plan::Claims::on)), second(job(), with(plan::Claims::on));
  EXPECT_EQ(first.steps(5), second.steps(5));
  EXPECT_EQ(first.weights(), second.weights());
}

TEST_P(SmallNet, OverfitsOneBatch) {
  constexpr int64_t most = 300;  // that so few steps can learn by heart
  test::Job one = job();
  one.images = one.recipe.batch = std::min(one.recipe.batch, most);
  one.recipe.optimizer = "adam";
  one.recipe.learning_rate = 0.003;
  test::Training training(one, with(plan::Claims::on));
  const std::vector<double> losses = training.steps(100);
  EXPECT_LT(losses.back(), 0.5 * losses.front());
}

class SmallNetPlan : public testing::Test {
 protected:
  void SetUp() override {
    for (const BackendEntry& entry : list_backends())
      if (entry.name == "cuda" && !entry.absent_because.empty()) GTEST_SKIP() << entry.absent_because;
    backend_ = open_backend("cuda");
  }
  std::string training_outline(model::Network network, graph::Precision precision) const {
    test::Job job = test::job_of(std::move(network), 8);
    job.precision = precision;
    return plan::outline(plan::compile(test::training_graph(job), {.backend = backend_.get()}, test::order_of(job)));
  }
  std::string outline_with(const std::string& before_pool, const std::string& before_flatten) const {
    const std::string text = "name = \"other\"\ninput = [12, 12, 3]\nlayers = [\n  { conv2d = 8, kernel = 3, " + before_pool +
                             " },\n  { max_pool = 2 },\n" + before_flatten + "  { flatten = true },\n  { linear = 4 },\n]\n";
    return training_outline(model::parse_network(text, "other.toml"), graph::bf16);
  }

  std::unique_ptr<Backend> backend_;
};

TEST_F(SmallNetPlan, HasAStepForAllBetweenDataAndUpdate) {
  EXPECT_EQ(training_outline(model::load_network("lenet5"), graph::bf16),
            "data: augment\nconv1: small_net(2 conv2d, 3 linear, loss, gradients)\nupdate: update\n");
  EXPECT_EQ(training_outline(model::load_network("cifar_cnn"), graph::fp16),
            "data: augment\nconv1: small_net(3 conv2d, 2 linear, loss, gradients)\nupdate: update\n");
}

TEST_F(SmallNetPlan, IsTheNodesWhereItHasNoKernels) {
  const auto is_small = [](const std::string& outline) { return outline.find("small_net(") != std::string::npos; };
  EXPECT_TRUE(is_small(outline_with("activation = \"relu\"", "")));
  EXPECT_FALSE(is_small(outline_with("activation = \"tanh\"", "")));
  EXPECT_FALSE(is_small(outline_with("activation = \"relu\", stride = 2", "")));
  EXPECT_FALSE(is_small(outline_with("activation = \"relu\", batch_norm = true", "")));
  EXPECT_FALSE(is_small(outline_with("activation = \"relu\"", "  { conv2d = 7, kernel = 3, activation = \"relu\" },\n")));
  EXPECT_FALSE(is_small(outline_with("activation = \"relu\"", "  { dropout = 0.5 },\n")));
  EXPECT_FALSE(is_small(training_outline(model::load_network("lenet5"), graph::fp32)));
  EXPECT_FALSE(is_small(training_outline(model::load_network("resnet20"), graph::bf16)));
}

TEST_F(SmallNetPlan, NamesTheLayerThatGivesNaN) {
  test::Job job = test::job_of(model::load_network("lenet5"), 8);
  job.precision = graph::bf16;
  test::Training training(job, {.backend = backend_.get()});
  training.step();
  Session& session = training.session;
  EXPECT_FALSE(session.find_non_finite(0).has_value());
  const float nan = std::numeric_limits<float>::quiet_NaN();
  backend_->device().upload(static_cast<float*>(session.plan(0).tensor("conv2.bias").data) + 3, &nan, sizeof nan, session.stream());
  const std::optional<plan::NonFinite> found = session.find_non_finite(0);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->layer, "conv2");
  EXPECT_EQ(found->count, 8 * 10 * 10);
}

INSTANTIATE_TEST_SUITE_P(Networks, SmallNet,
                         testing::Values(Case{"lenet5", "bf16"}, Case{"lenet5", "fp16"}, Case{"cifar_cnn", "bf16"},
                                         Case{"cifar_cnn", "fp16"}, Case{"odd", "bf16", 7}, Case{"odd", "fp16", 600},
                                         Case{"lenet5", "bf16", 300}, Case{"cifar_cnn", "bf16", 32, 2, 0.1f},
                                         Case{"lenet5", "fp16", 9, 3, 0, std::vector<float>(10, 0.5f)}, Case{"lenet5", "bf16", 1030},
                                         Case{"lenet5", "fp16", 1030}));

}  // namespace
}  // namespace fovea::train
