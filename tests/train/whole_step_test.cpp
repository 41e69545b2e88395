// Whole training steps of small networks on every backend, against the losses that PyTorch gives (tests/golden/README.md).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "fovea/backend/registry.h"
#include "fovea/train/session.h"
#include "fovea/train/step_graph.h"
#include "tests/golden/golden.h"

namespace fovea::train {
namespace {

enum class Steps : uint8_t { of_the_backend, of_the_fastest };  // among those in its memory
struct Way {
  std::string backend;
  graph::Precision precision = {};
  int64_t micro_batches = 1;  // of each of the run's own
  plan::Claims claims = plan::Claims::on;
  Steps steps = Steps::of_the_backend;
};

struct RuleKeys {
  Recipe& recipe;
  void operator()(const Sgd& rule) const {
    recipe.momentum = static_cast<double>(rule.momentum);
    recipe.nesterov = rule.nesterov == Sgd::Nesterov::yes ? Switch::on : Switch::off;
  }
  void operator()(const Adam& rule) const { adam("adam", rule); }
  void operator()(const AdamW& rule) const { adam("adamw", rule); }
  void operator()(const RmsProp& rule) const {
    recipe.optimizer = "rmsprop";
    recipe.alpha = static_cast<double>(rule.alpha);
    recipe.epsilon = static_cast<double>(rule.epsilon);
    recipe.momentum = static_cast<double>(rule.momentum);
  }
  void adam(const char* name, const auto& rule) const {
    recipe.optimizer = name;
    recipe.beta1 = static_cast<double>(rule.beta1);
    recipe.beta2 = static_cast<double>(rule.beta2);
    recipe.epsilon = static_cast<double>(rule.epsilon);
  }
};

Recipe recipe_of(const golden::Run& run, const Way& way) {
  Recipe recipe;
  recipe.batch = run.batch;
  recipe.micro_batches = run.micro_batches * way.micro_batches;
  recipe.weight_decay = static_cast<double>(run.weight_decay);
  recipe.label_smoothing = static_cast<double>(run.smoothing);
  recipe.clip_norm = run.clip_norm;
  recipe.ema_decay = run.ema_decay;
  std::visit(RuleKeys{recipe}, run.rule);
  return recipe;
}

data::Images images_of(const golden::Run& run, const model::Network& network) {
  data::Images images = data::make_images(run.images, network.h, network.w, network.c);
  const std::vector<uint8_t> pixels = golden::draw_pixels(run.seed, images.pixels.size());
  std::copy(pixels.begin(), pixels.end(), images.pixels.begin());
  images.labels = golden::draw_labels(run.seed, images.labels.size(), static_cast<uint32_t>(std::max<int64_t>(network.outputs, 2)));
  return images;
}

std::vector<io::NamedTensor> weights_of(const model::Network& network, uint64_t seed, DType dtype) {
  std::vector<io::NamedTensor> weights;
  for (const model::Parameter& parameter : network.parameters) {
    io::NamedTensor& weight = weights.emplace_back(io::NamedTensor{parameter.name, dtype, parameter.shape, {}});
    weight.bytes.resize(static_cast<size_t>(parameter.shape.elements()) * bytes_of(dtype));
    model::draw_weights(parameter, seed, {weight.bytes.data(), dtype, parameter.shape});
  }
  return weights;
}

// Those in the same memory, or the same again, with which only claims are something to choose.
std::vector<std::unique_ptr<Backend>> rivals_to(const std::string& name) {
  std::vector<std::unique_ptr<Backend>> rivals;
  const std::vector<std::string> names = rivals_of(name);
  for (const BackendEntry& entry : list_backends())
    if (entry.absent_because.empty() && std::find(names.begin(), names.end(), entry.name) != names.end())
      rivals.push_back(open_backend(entry.name));
  if (rivals.empty()) rivals.push_back(open_backend(name));
  return rivals;
}

// A run of the golden file, on one backend.
class Trained {
 public:
  Trained(const golden::Run& run, const Way& way)
      : run_(run),
        network_(model::load_network(run.model)),
        images_(images_of(run, network_)),
        backend_(open_backend(way.backend)),
        rivals_(way.steps == Steps::of_the_fastest ? rivals_to(way.backend) : std::vector<std::unique_ptr<Backend>>()),
        session_(assignment(way)) {
    const Preprocessing preprocessing = {std::vector<float>(static_cast<size_t>(network_.c), golden::mean),
                                         std::vector<float>(static_cast<size_t>(network_.c), golden::deviation)};
    graph::Graph graph =
        training_graph(network_, recipe_of(run, way), preprocessing,
                       {.images = run.images, .batch = run.batch, .precision = way.precision, .class_weights = run.class_weights});
    for (graph::Node& node : graph.nodes)
      if (Augment* augment = std::get_if<Augment>(&node.op)) augment->order = Order::sequential;
    const std::vector<std::string> order = parameter_order(graph), averaged = averaged_parameters(graph);
    session_.add(std::move(graph), order, images_);
    session_.add(evaluation_graph(network_, preprocessing,
                                  {.images = run.images, .batch = run.batch, .precision = way.precision, .averaged = averaged}),
                 order, images_);
    session_.place();
    session_.write_weights(weights_of(network_, run.seed, way.precision.weights));
  }

  double step() {
    StepControl control;
    control.seed = run_.seed;
    control.images = static_cast<uint64_t>(run_.images);
    control.position = static_cast<uint64_t>(steps_ * run_.batch % run_.images);
    control.step = static_cast<uint32_t>(steps_++);
    control.learning_rate = run_.learning_rate;
    session_.clear_metrics();
    session_.write_control(control);
    session_.plan(0).run(session_.stream());
    const Metrics metrics = session_.read_metrics();
    EXPECT_EQ(metrics.counted, static_cast<uint64_t>(run_.batch));
    EXPECT_EQ(metrics.non_finite, 0u);
    return metrics.loss_sum / static_cast<double>(metrics.counted);
  }

  double evaluation() { return evaluate(session_, 1, run_.images, run_.batch).loss; }

  double norm(const std::string& value) {  // in f64 only
    const Tensor tensor = session_.plan(0).tensor(value);
    std::vector<double> values(static_cast<size_t>(tensor.shape.elements()));
    backend_->device().download(values.data(), tensor.data, tensor.bytes(), session_.stream());
    session_.stream().synchronize();
    double sum = 0;
    for (const double value : values) sum += value * value;
    return std::sqrt(sum);
  }

  size_t choices() const { return tuning_.choices().size(); }

 private:
  plan::Assignment assignment(const Way& way) {
    plan::Assignment assignment = {.backend = backend_.get(), .claims = way.claims};
    for (const std::unique_ptr<Backend>& rival : rivals_) assignment.rivals.push_back(rival.get());
    if (!rivals_.empty()) assignment.limits.tuning = &tuning_;
    return assignment;
  }

  const golden::Run& run_;
  model::Network network_;
  data::Images images_;
  std::unique_ptr<Backend> backend_;
  std::vector<std::unique_ptr<Backend>> rivals_;
  Tuning tuning_;
  Session session_;
  int64_t steps_ = 0;
};

constexpr double f32_tolerance = 1e-5, f64_tolerance = 1e-12;  // relative
constexpr double unbias_tolerance = 0x1p-23;                   // of running variances: Update::Running::unbias is a float

void expect_losses(const golden::Run& run, const Way& way, double tolerance) {
  Trained trained(run, way);
  for (size_t step = 0; step < run.losses_f64.size(); ++step) {
    const double expected = run.losses_f64[step];
    EXPECT_NEAR(trained.step(), expected, tolerance * expected) << run.name << ", step " << step << ", on " << way.backend;
  }
  if (!run.running_norms.empty()) tolerance = std::max(tolerance, unbias_tolerance);
  EXPECT_NEAR(trained.evaluation(), run.evaluation, tolerance * run.evaluation) << run.name << ", evaluation on " << way.backend;
}

// Those that plain loops get through in a second.
std::vector<golden::Run> short_runs() {
  std::vector<golden::Run> runs = golden::read_runs();
  std::erase_if(runs, [](const golden::Run& run) {
    return !run.name.starts_with("small") && !run.name.starts_with("branches") && run.name != "lenet5_sgd";
  });
  EXPECT_EQ(runs.size(), 8u);
  return runs;
}

class WholeStep : public testing::TestWithParam<BackendEntry> {
 protected:
  void SetUp() override {
    if (!GetParam().absent_because.empty()) GTEST_SKIP() << GetParam().absent_because;
  }
  Way way() const { return {.backend = GetParam().name}; }
};

TEST_P(WholeStep, TenStepsGiveTheGoldenLosses) {
  for (const golden::Run& run : golden::read_runs()) expect_losses(run, way(), f32_tolerance);
}

TEST_P(WholeStep, MicroBatchesGiveTheSameLosses) {
  Way parts = way();
  parts.micro_batches = 3;
  size_t count = 0;
  for (const golden::Run& run : short_runs()) {
    if (!run.running_norms.empty()) continue;  // batch norms normalise each micro-batch by itself: branches_parts
    expect_losses(run, parts, f32_tolerance);
    ++count;
  }
  EXPECT_EQ(count, 4u);
}

TEST_P(WholeStep, WithoutClaimsTheLossesAreTheSame) {
  Way plain = way();
  plain.claims = plan::Claims::off;
  for (const golden::Run& run : short_runs()) expect_losses(run, plain, f32_tolerance);
}

TEST_P(WholeStep, OnTheFastestBackendsTheLossesAreTheSame) {
  Way across = way();
  across.steps = Steps::of_the_fastest;
  for (const golden::Run& run : short_runs()) {
    expect_losses(run, across, f32_tolerance);
    if (run.name == "lenet5_sgd") {
      EXPECT_EQ(Trained(run, across).choices() > 0, GetParam().purpose == Purpose::speed);
    }
  }
}

// Rounding errors grow as training goes on: the measure is what one unit in the last place of the initial weights does.
TEST_P(WholeStep, AHundredStepsStayWithinTheSpread) {
  size_t runs = 0;
  for (const golden::Run& run : golden::read_runs()) {
    if (run.longer.losses.empty()) continue;
    ++runs;
    Trained trained(run, way());
    const double spread = *std::max_element(run.longer.spread.begin(), run.longer.spread.end());
    for (const double expected : run.longer.losses)
      EXPECT_NEAR(trained.step(), expected, 3 * spread) << run.name << " on " << GetParam().name;
  }
  EXPECT_EQ(runs, 2u);
}

INSTANTIATE_TEST_SUITE_P(Backends, WholeStep, testing::ValuesIn(list_backends()),
                         [](const testing::TestParamInfo<BackendEntry>& info) { return info.param.name; });

TEST(WholeStepInDouble, GivesTheGoldenLosses) {
  for (const golden::Run& run : golden::read_runs()) expect_losses(run, {.backend = "reference", .precision = graph::fp64}, f64_tolerance);
}

TEST(WholeStepInDouble, GivesTheGoldenGradients) {
  for (const golden::Run& run : golden::read_runs()) {
    Trained trained(run, {.backend = "reference", .precision = graph::fp64});
    trained.step();
    for (const auto& [parameter, norm] : run.gradient_norms)
      EXPECT_NEAR(trained.norm(parameter + ".grad"), norm, f64_tolerance * norm) << run.name << ": " << parameter;
  }
}

TEST(WholeStepInDouble, GivesTheGoldenRunningStatistics) {
  size_t statistics = 0;
  for (const golden::Run& run : golden::read_runs()) {
    if (run.running_norms.empty()) continue;
    Trained trained(run, {.backend = "reference", .precision = graph::fp64});
    for (size_t step = 0; step < run.losses_f64.size(); ++step) trained.step();
    for (const auto& [name, norm] : run.running_norms) {
      const double tolerance = name.ends_with("running_variance") ? unbias_tolerance : f64_tolerance;
      EXPECT_NEAR(trained.norm(name), norm, tolerance * norm) << run.name << ": " << name;
    }
    statistics += run.running_norms.size();
  }
  EXPECT_GE(statistics, 20u);
}

}  // namespace
}  // namespace fovea::train
