// Settings of single parameters: which tables match, and what a step does with them.
#include "fovea/train/tensors.h"

#include "fovea/backend/registry.h"
#include "tests/data/data_folder.h"
#include "tests/plan/small_training.h"

namespace fovea::train {
namespace {

using data::error_text;
using test::Job;

TensorRule rule(const std::string& match, std::optional<double> rate_scale, std::optional<double> decay,
                std::optional<Switch> frozen = std::nullopt) {
  return {match, rate_scale, decay, frozen};
}

std::vector<TensorSettings> settings_of(const Recipe& recipe) { return tensor_settings(recipe, model::load_network("lenet5")); }

TEST(Tensors, DecayAllOrWeightsAlone) {
  Recipe recipe;
  recipe.weight_decay = 0.5;
  for (const TensorSettings& one : settings_of(recipe)) EXPECT_EQ(one.decay, 0.5);
  recipe.decay_on = "weights";
  const model::Network network = model::load_network("lenet5");
  const std::vector<TensorSettings> settings = settings_of(recipe);
  for (size_t i = 0; i < settings.size(); ++i) EXPECT_EQ(settings[i].decay, network.parameters[i].name.ends_with(".bias") ? 0 : 0.5);
}

TEST(Tensors, TheLastTableThatMatchesWinsKeyByKey) {
  Recipe recipe;
  recipe.weight_decay = 0.5;
  recipe.decay_on = "weights";
  recipe.tensors = {rule("conv*", 0.1, 0.25), rule("conv?.bias", std::nullopt, 2), rule("conv1.*", 3, std::nullopt, Switch::on),
                    rule("conv1.bias", std::nullopt, std::nullopt, Switch::off)};
  const model::Network network = model::load_network("lenet5");
  const std::vector<TensorSettings> all = settings_of(recipe);
  const auto of = [&](const std::string& name) { return all[network.parameter(name).number]; };
  EXPECT_EQ(of("conv1.weight").rate_scale, 3);
  EXPECT_EQ(of("conv1.weight").decay, 0.25);
  EXPECT_EQ(of("conv1.weight").frozen, Switch::on);
  EXPECT_EQ(of("conv1.bias").decay, 2);
  EXPECT_EQ(of("conv1.bias").frozen, Switch::off);
  EXPECT_EQ(of("conv2.weight").rate_scale, 0.1);
  EXPECT_EQ(of("conv2.weight").frozen, Switch::off);
  EXPECT_EQ(of("linear1.weight").rate_scale, 1);
  EXPECT_EQ(of("linear1.weight").decay, 0.5);
  EXPECT_EQ(of("linear1.bias").decay, 0);
}

TEST(Tensors, AMatchOfNothingNamesItsPlaceAndWhatWasMeant) {
  Recipe recipe;
  recipe.tensors = {rule("conv1.wieght", 1, 1)};
  recipe.tensors[0].file = "some.toml";
  recipe.tensors[0].line = 9;
  const std::string text = error_text(ExitCode::config, [&] { settings_of(recipe); });
  EXPECT_NE(text.find("some.toml:9"), std::string::npos) << text;
  EXPECT_NE(text.find("did you mean `conv1.weight`?"), std::string::npos) << text;
  recipe.tensors = {rule("*", std::nullopt, std::nullopt, Switch::on)};
  EXPECT_NE(error_text(ExitCode::config, [&] { settings_of(recipe); }).find("frozen"), std::string::npos);
}

std::vector<std::string> backends() {
  std::vector<std::string> names;
  for (const BackendEntry& entry : list_backends())
    if (entry.absent_because.empty()) names.push_back(entry.name);
  return names;
}

std::vector<std::vector<float>> weights_by_parameter(test::Training& training, const Job& job) {
  std::vector<std::vector<float>> weights;
  for (const io::NamedTensor& weight : training.session.read_weights(job.network)) weights.push_back(test::floats_of({weight}));
  return weights;
}

// What stands in front of the first parameter that is trained gets no gradient at all.
TEST(Tensors, FrozenOnesStayAndCostNoGradient) {
  for (const std::string& name : backends()) {
    const std::unique_ptr<Backend> backend = open_backend(name);
    Job job = test::job_of(model::load_network("lenet5"), 8);
    test::Training free(job, {.backend = backend.get()});
    job.recipe.tensors = {rule("conv*", std::nullopt, std::nullopt, Switch::on)};
    test::Training training(job, {.backend = backend.get()});
    const auto before = weights_by_parameter(training, job);
    training.steps(3), free.steps(3);
    const auto after = weights_by_parameter(training, job), of_free = weights_by_parameter(free, job);
    for (size_t i = 0; i < before.size(); ++i) {
      EXPECT_EQ(after[i] == before[i], job.network.parameters[i].name.starts_with("conv")) << name << " " << job.network.parameters[i].name;
      EXPECT_NE(of_free[i], before[i]) << name;
    }
    const plan::Plan& plan = training.session.plan(0);
    EXPECT_EQ(plan.graph().find("conv1.weight.grad"), graph::no_value);
    for (const plan::Step& step : plan.steps())
      EXPECT_TRUE(!step.name.starts_with("conv") || step.what.find("backward") == std::string::npos) << name << " " << step.what;
    EXPECT_EQ(evaluate(training.session, 1, job.images, 8).counted, job.images);
  }
}

// With plain SGD from the same weights, the change of one step is the scale of the rate.
TEST(Tensors, ScaleTheRate) {
  for (const std::string& name : backends()) {
    const std::unique_ptr<Backend> backend = open_backend(name);
    Job job = test::job_of(model::load_network("softmax"), 8);
    job.recipe.learning_rate = 1;
    const std::vector<float> before = test::floats_of(test::initial_weights(job.network, 1));
    const auto change = [&] {
      test::Training training(job, {.backend = backend.get()});
      training.step();
      std::vector<float> weights = training.weights();
      for (size_t i = 0; i < weights.size(); ++i) weights[i] -= before[i];
      return weights;
    };
    std::vector<float> whole = change();
    job.recipe.tensors = {rule("linear1.weight", 0.25, std::nullopt), rule("linear1.bias", 0, std::nullopt)};
    const std::vector<float> scaled = change();
    for (size_t i = 0; i < whole.size(); ++i) whole[i] *= i < whole.size() - 10 ? 0.25f : 0.0f;
    EXPECT_LT(test::largest_difference(scaled, whole), 1e-5) << name;
  }
}

}  // namespace
}  // namespace fovea::train
