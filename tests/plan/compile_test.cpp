// What compile makes of the steps of the shipped networks: places, providers, and the text of the plan.
#include "fovea/plan/compile.h"

#include <algorithm>

#include "fovea/backend/registry.h"
#include "fovea/plan/dump.h"
#include "fovea/plan/inspect.h"
#include "tests/data/data_folder.h"
#include "tests/plan/small_training.h"

namespace fovea::plan {
namespace {

using data::error_text;
using graph::Role;
using graph::ValueId;
using test::Job;

Job lenet5(int64_t batch) { return test::job_of(model::load_network("lenet5"), batch); }

void expect_same_place(const Plan& a, const Plan& b, std::string_view name) {
  const Placement &in_a = a.placement(a.graph().find(name)), &in_b = b.placement(b.graph().find(name));
  EXPECT_EQ(in_a.arena, in_b.arena) << name;
  EXPECT_EQ(in_a.offset, in_b.offset) << name;
  EXPECT_EQ(in_a.bytes, in_b.bytes) << name;
}

TEST(Compile, PutsWhatPlansShareInTheSamePlaces) {
  const std::unique_ptr<Backend> backend = open_backend("eigen");
  Job job = lenet5(10);
  job.recipe.optimizer = "adam";
  const std::vector<std::string> order = test::order_of(job);
  const Plan full = compile(test::training_graph(job), {.backend = backend.get()}, order);
  const Plan remainder = compile(test::training_graph(job, 3), {.backend = backend.get()}, order);
  const Plan evaluation = compile(test::evaluation_graph(job), {.backend = backend.get()}, order);
  EXPECT_EQ(order.size(), job.network.parameters.size());
  for (const std::string& name : order) {
    expect_same_place(full, evaluation, name);
    for (const std::string& shared : {name, name + ".grad", name + ".moment1", name + ".moment2"})
      expect_same_place(full, remainder, shared);
  }
  for (const std::string shared : {"control", "metrics"}) {
    expect_same_place(full, remainder, shared);
    expect_same_place(full, evaluation, shared);
  }
}

TEST(Compile, RefusesAnOrderThatIsNotThatOfTheGraph) {
  const std::unique_ptr<Backend> backend = open_backend("eigen");
  std::vector<std::string> order = test::order_of(lenet5(2));
  order.pop_back();
  error_text(ExitCode::internal, [&] { compile(test::training_graph(lenet5(2)), {.backend = backend.get()}, order); });
  order.push_back("conv9.weight");
  const std::string text =
      error_text(ExitCode::internal, [&] { compile(test::training_graph(lenet5(2)), {.backend = backend.get()}, order); });
  EXPECT_NE(text.find("conv9.weight"), std::string::npos) << text;
}

// From the steps themselves: the first and the last that touch a value or a view of it.
std::vector<Lifetime> lifetimes_of(const Plan& plan) {
  std::vector<Lifetime> lifetimes(plan.graph().values.size(), {0, -1, -1});
  for (size_t at = 0; at < plan.steps().size(); ++at)
    for (const std::vector<ValueId>* ids : {&plan.steps()[at].in, &plan.steps()[at].out})
      for (const ValueId id : *ids) {
        Lifetime& lifetime = lifetimes[static_cast<size_t>(plan.graph().storage_of(id))];
        if (lifetime.first < 0) lifetime.first = static_cast<int64_t>(at);
        lifetime.last = static_cast<int64_t>(at);
      }
  return lifetimes;
}

TEST(Compile, NoTwoValuesAliveTogetherShareMemory) {
  const std::unique_ptr<Backend> backend = open_backend("eigen");
  Job job = lenet5(6);
  job.recipe.micro_batches = 3;
  const Plan plan = compile(test::training_graph(job), {.backend = backend.get()}, test::order_of(job));
  const std::vector<Lifetime> lifetimes = lifetimes_of(plan);
  size_t shared = 0;
  for (size_t a = 0; a < lifetimes.size(); ++a)
    for (size_t b = 0; b < a; ++b) {
      if (lifetimes[a].first < 0 || lifetimes[b].first < 0) continue;
      const Placement &of_a = plan.placement(static_cast<ValueId>(a)), &of_b = plan.placement(static_cast<ValueId>(b));
      if (of_a.where != Placement::Where::arena || of_b.where != of_a.where || of_a.arena != of_b.arena) continue;
      const bool meet = of_a.offset < of_b.offset + of_b.bytes && of_b.offset < of_a.offset + of_a.bytes;
      shared += meet;
      EXPECT_TRUE(!meet || lifetimes[a].last < lifetimes[b].first || lifetimes[b].last < lifetimes[a].first) << a << " and " << b;
    }
  EXPECT_GT(shared, 10u);
}

TEST(Compile, KeepsTheWorkspaceOfAStepApartFromTheValuesAliveThen) {
  const std::unique_ptr<Backend> backend = open_backend("eigen");
  const Job job = lenet5(6);
  const Plan plan = compile(test::training_graph(job), {.backend = backend.get()}, test::order_of(job));
  const std::vector<Lifetime> lifetimes = lifetimes_of(plan);
  size_t shared = 0;
  for (size_t at = 0; at < plan.steps().size(); ++at) {
    const size_t begin = plan.steps()[at].workspace_offset, end = begin + plan.steps()[at].kernel->workspace_bytes();
    for (size_t id = 0; id < lifetimes.size(); ++id) {
      const Placement& place = plan.placement(static_cast<ValueId>(id));
      if (lifetimes[id].first < 0 || place.where != Placement::Where::arena || place.arena != Arena::activations) continue;
      const bool meet = begin < place.offset + place.bytes && place.offset < end;
      shared += meet;
      const int64_t step = static_cast<int64_t>(at);
      EXPECT_TRUE(!meet || step < lifetimes[id].first || lifetimes[id].last < step) << plan.steps()[at].what << " and " << id;
    }
  }
  EXPECT_GT(shared, 10u);
}

TEST(Bind, GivesAlignedBuffersInsideTheirArenas) {
  const std::unique_ptr<Backend> backend = open_backend("eigen");
  const std::unique_ptr<Stream> stream = backend->device().make_stream();
  const Job job = lenet5(4);
  Plan plan = compile(test::training_graph(job), {.backend = backend.get()}, test::order_of(job));
  const ArenaMemory memory(backend->device(), plan.arena_bytes(), *stream);
  std::vector<uint8_t> pixels(24 * 28 * 28);
  std::vector<int32_t> labels(24);
  plan.bind(memory, {pixels.data(), labels.data()});
  for (const Step& step : plan.steps()) {
    EXPECT_LE(step.workspace_offset + step.kernel->workspace_bytes(), plan.arena_bytes()[static_cast<size_t>(Arena::activations)]);
    EXPECT_EQ(step.workspace_offset % alignment, 0u);
    for (const std::vector<ValueId>* ids : {&step.in, &step.out})
      for (const ValueId id : *ids) {
        const Placement& place = plan.placement(id);
        const Tensor tensor = plan.tensor(id);
        if (place.where != Placement::Where::arena) continue;
        const auto offset = static_cast<std::byte*>(tensor.data) - memory.base(place.arena);
        EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.data) % alignment, 0u);
        EXPECT_GE(offset, 0);
        EXPECT_LE(static_cast<size_t>(offset) + tensor.bytes(), plan.arena_bytes()[static_cast<size_t>(place.arena)]);
      }
  }
  EXPECT_EQ(plan.tensor("pixels").data, pixels.data());
  EXPECT_EQ(plan.tensor("labels").data, labels.data());
}

size_t outputs_of_pools(const Plan& plan) {
  size_t outputs = 0;
  for (const Step& step : plan.steps())
    if (step.what == "max_pool_forward") outputs += step.out.size();
  return outputs;
}

TEST(Compile, KeepsTheArgmaxForTheBackwardPassAlone) {
  const std::unique_ptr<Backend> backend = open_backend("eigen");
  const Job job = lenet5(2);
  const std::vector<std::string> order = test::order_of(job);
  const Plan evaluation = compile(test::evaluation_graph(job), {.backend = backend.get(), .claims = Claims::off}, order);
  EXPECT_EQ(outputs_of_pools(compile(test::training_graph(job), {.backend = backend.get(), .claims = Claims::off}, order)), 4u);
  EXPECT_EQ(outputs_of_pools(evaluation), 2u);
  const ValueId argmax = evaluation.graph().find("pool1.max_pool_forward.1");
  ASSERT_NE(argmax, graph::no_value);
  EXPECT_EQ(evaluation.placement(argmax).where, Placement::Where::nowhere);
}

TEST(Compile, OneLayerCanRunOnAnotherBackend) {
  const std::unique_ptr<Backend> eigen = open_backend("eigen"), reference = open_backend("reference");
  const Job job = lenet5(4);
  test::Training mixed(job, {.backend = eigen.get(), .of_layer = {{"conv1", reference.get()}, {"loss", reference.get()}}});
  for (const Step& step : mixed.session.plan(0).steps()) {
    const std::string expected = step.name == "conv1" || step.name == "loss" ? "reference" : "eigen";
    EXPECT_EQ(step.backend, expected) << step.name << " " << step.what;
    EXPECT_EQ(step.kernel->provider(), expected) << step.name << " " << step.what;
  }
  test::Training alone(job, {.backend = reference.get()});
  EXPECT_LT(test::largest_difference(mixed.steps(3), alone.steps(3)), 1e-5);
}

// Rule 4: a backend for speed never falls back to the plain loops of the reference in a shipped network, whatever the recipe.
TEST(Compile, NoStepOfAShippedNetworkFallsBackToTheReference) {
  size_t plans = 0;
  for (const BackendEntry& entry : list_backends()) {
    if (entry.name == "reference" || !entry.absent_because.empty()) continue;
    const std::unique_ptr<Backend> backend = open_backend(entry.name);
    for (const std::string& name : model::list_networks())
      for (const std::string optimizer : {"sgd", "adam", "adamw", "rmsprop"}) {
        Job job = test::job_of(model::load_network(name), 3);
        job.recipe.optimizer = optimizer;
        job.recipe.clip_norm = 1;
        job.recipe.ema_decay = 0.99;
        const size_t classes = static_cast<size_t>(std::max<int64_t>(job.network.outputs, 2));
        const train::StepSettings settings = {.images = 3, .batch = 3, .class_weights = std::vector<float>(classes, 0.5f)};
        const graph::Graph training = train::training_graph(job.network, job.recipe, test::preprocessing_of(job), settings);
        const std::vector<std::string> order = test::order_of(job);
        for (graph::Graph graph : {training, test::evaluation_graph(job)}) {
          const Plan plan = compile(std::move(graph), {.backend = backend.get()}, order);
          for (const Step& step : plan.steps())
            EXPECT_NE(step.kernel->provider(), "reference") << name << " on " << entry.name << ": " << step.name << " " << step.what;
          ++plans;
        }
      }
  }
  EXPECT_GE(plans, 100u);
}

// Rule 4 again: the own kernels of the parallel backend use the threads that they may.
TEST(Compile, HeavyStepsOfOpenmpAreItsOwnAndParallel) {
  const std::unique_ptr<Backend> backend = open_backend("openmp");
  for (const std::string name : {"lenet5", "cifar_cnn"})
    for (const int threads : {1, 4}) {
      const Job job = test::job_of(model::load_network(name), 16);
      const Plan plan = compile(test::training_graph(job), {.backend = backend.get(), .limits = {threads}}, test::order_of(job));
      int heavy = 0;
      for (const Step& step : plan.steps()) {
        if (step.macs < 100000) continue;
        ++heavy;
        EXPECT_EQ(step.kernel->provider(), "openmp") << name << ": " << step.name << " " << step.what;
        EXPECT_EQ(step.kernel->threads(), threads) << name << ": " << step.name << " " << step.what;
      }
      EXPECT_GE(heavy, 8) << name;
    }
}

TEST(Dump, ShowsEveryStepAndWhatItCosts) {
  const std::unique_ptr<Backend> backend = open_backend("reference");
  const Job job = lenet5(8);
  const Plan plan = compile(test::training_graph(job), {.backend = backend.get()}, test::order_of(job));
  const std::string text = dump(plan), words = test::words_of(text);
  EXPECT_NE(words.find("1 conv1 conv2d_forward reference loops (8, 28, 28, 6) "), std::string::npos) << text;
  EXPECT_NE(words.find(" 1881600\n"), std::string::npos) << text;  // 2 x 8 x 28 x 28 x 6 x 5 x 5 FLOPs
  EXPECT_NE(words.find("linear3 linear_backward_filter"), std::string::npos) << text;
  EXPECT_NE(words.find("update update"), std::string::npos) << text;
  EXPECT_NE(words.find(std::to_string(plan.steps().size()) + " steps, "), std::string::npos) << text;
  EXPECT_NE(words.find("parameters " + std::to_string(plan.arena_bytes()[0]) + " bytes"), std::string::npos) << text;
  EXPECT_EQ(text.find("flatten"), std::string::npos) << text;  // a view, not a step
  EXPECT_EQ(static_cast<size_t>(std::count(text.begin(), text.end(), '\n')), 1 + plan.steps().size() + 2 + arena_count + 1);
}

TEST(Inspect, NamesTheFirstStepThatGivesNaN) {
  const std::unique_ptr<Backend> backend = open_backend("eigen");
  test::Training training(lenet5(4), {.backend = backend.get(), .claims = Claims::off});
  training.step();
  EXPECT_FALSE(find_non_finite(training.session.plan(0), backend->device(), training.session.stream()).has_value());
  training.session.plan(0).tensor("conv2.bias").as<float>()[3] = std::numeric_limits<float>::quiet_NaN();
  const std::optional<NonFinite> found = find_non_finite(training.session.plan(0), backend->device(), training.session.stream());
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->layer, "conv2");
  EXPECT_EQ(found->count, 4 * 10 * 10);
  EXPECT_EQ(found->elements, 4 * 10 * 10 * 16);
}

TEST(Plan, TimesEveryStep) {
  const std::unique_ptr<Backend> backend = open_backend("eigen");
  test::Training training(lenet5(4), {.backend = backend.get()});
  std::vector<double> seconds(training.session.plan(1).steps().size());
  training.session.plan(1).run_timed(training.session.stream(), seconds);
  EXPECT_TRUE(std::all_of(seconds.begin(), seconds.end(), [](double time) { return time > 0; }));
}

class CountingStream : public Stream {
 public:
  void synchronize() override { ++waits_; }
  int waits() const { return waits_; }

 private:
  int waits_ = 0;
};

TEST(Plan, TheFirstStepIsNotChargedForWhatIsUnderWay) {
  const std::unique_ptr<Backend> backend = open_backend("eigen");
  test::Training training(lenet5(4), {.backend = backend.get()});
  training.step();
  Plan& plan = training.session.plan(0);
  std::vector<double> seconds(plan.steps().size());
  CountingStream stream;
  plan.run_timed(stream, seconds);
  EXPECT_EQ(stream.waits(), static_cast<int>(plan.steps().size()) + 1) << "one before the first step, and one behind each";
}

}  // namespace
}  // namespace fovea::plan
