// Backends whose kernels take a known time by a clock of their own: which of them the plan takes, and that all together compute the same.
#include <fmt/format.h>

#include <algorithm>

#include "fovea/backend/eigen/backend.h"
#include "fovea/backend/openmp/backend.h"
#include "fovea/plan/dump.h"
#include "tests/data/data_folder.h"
#include "tests/plan/small_training.h"

namespace fovea::plan {
namespace {

using graph::Node;
using graph::ValueId;

// The host with a clock that only kernels move.
class PacedDevice final : public Device {
 public:
  std::string name() const override { return "paced"; }
  std::string platform() const override { return "paced"; }
  std::unique_ptr<Stream> make_stream() override { return host_->make_stream(); }
  std::unique_ptr<Memory> allocate(size_t bytes) override { return host_->allocate(bytes); }
  std::unique_ptr<Memory> resident(std::span<const std::byte> host, Stream& stream) override { return host_->resident(host, stream); }
  void upload(void* to, const void* from, size_t bytes, Stream& stream) override { host_->upload(to, from, bytes, stream); }
  void download(void* to, const void* from, size_t bytes, Stream& stream) override { host_->download(to, from, bytes, stream); }
  void fill(void* to, std::byte value, size_t bytes, Stream& stream) override { host_->fill(to, value, bytes, stream); }
  MemoryStatus memory_status() const override { return host_->memory_status(); }
  double seconds(Stream&, const std::function<void()>& enqueue) override {
    const int64_t before = microseconds;
    enqueue();
    return 1e-6 * static_cast<double>(microseconds - before);
  }

  int64_t microseconds = 0;

 private:
  std::unique_ptr<Device> host_ = make_host_device();
};

// What another kernel does, or nothing, in a known time.
class PacedKernel final : public Kernel {
 public:
  PacedKernel(std::string_view provider, KernelPtr inner, PacedDevice& device, int64_t microseconds)
      : Kernel(provider), inner_(std::move(inner)), device_(device), microseconds_(microseconds) {}
  std::string algorithm() const override { return "paced"; }
  size_t workspace_bytes() const override { return inner_ ? inner_->workspace_bytes() : 0; }
  void bind(Buffers buffers, void* workspace) override {
    if (inner_) inner_->bind(std::move(buffers), workspace);
  }
  void run(Stream& stream) override {
    device_.microseconds += microseconds_;
    if (inner_) inner_->run(stream);
  }

 private:
  KernelPtr inner_;
  PacedDevice& device_;
  int64_t microseconds_;
};

struct Pace {
  int64_t conv = 10, linear = 10, bias = 3, relu = 4, bias_and_relu = 0, relu_and_pool = 0, pool_and_relu_backward = 0;  // 0: no such claim
};

class PacedBackend final : public eigen::EigenBackend {
 public:
  PacedBackend(std::string_view name, PacedDevice& device, Pace pace) : pace(pace), name_(name), device_(device) {}
  std::string_view name() const override { return name_; }
  Device& device() override { return device_; }

  using EigenBackend::make;
  KernelPtr make(const Conv2dForward& op, const Limits& limits) override { return paced(EigenBackend::make(op, limits), pace.conv); }
  KernelPtr make(const LinearForward& op, const Limits& limits) override { return paced(EigenBackend::make(op, limits), pace.linear); }
  KernelPtr make(const BiasForward& op, const Limits& limits) override { return paced(EigenBackend::make(op, limits), pace.bias); }
  KernelPtr make(const ActivationForward& op, const Limits& limits) override { return paced(EigenBackend::make(op, limits), pace.relu); }
  std::optional<Claim> claim(const Neighbours& around, const Limits&) override {
    if (around.nodes.size() < 2) return std::nullopt;
    const Node &first = around.nodes[0], &second = around.nodes[1];
    if (pace.bias_and_relu > 0 && is<BiasForward>(first) && is<ActivationForward>(second))
      return Claim{2, "bias+relu", paced(nullptr, pace.bias_and_relu), first.in, second.out};
    // Leaves out the value between the two, which the gradient does not need.
    if (pace.relu_and_pool > 0 && is<ActivationForward>(first) && is<MaxPoolForward>(second))
      return Claim{2, "relu+pool", paced(nullptr, pace.relu_and_pool), first.in, second.out};
    if (pace.pool_and_relu_backward > 0 && is<MaxPoolBackward>(first) && is<ActivationBackward>(second))
      return Claim{2, "pool+relu backward", paced(nullptr, pace.pool_and_relu_backward), first.in, second.out};
    return std::nullopt;
  }

  Pace pace;

 private:
  template <class Op>
  static bool is(const Node& node) {
    return std::holds_alternative<Op>(node.op);
  }
  KernelPtr paced(KernelPtr inner, int64_t microseconds) {
    return std::make_unique<PacedKernel>(name_, std::move(inner), device_, microseconds);
  }

  std::string name_;
  PacedDevice& device_;
};

// Two convolutions that are the same problem, with an activation and a pooling between them.
const char* twins = R"(name = "twins"
input = [8, 8, 4]
layers = [
  { conv2d = 4, kernel = 3, padding = 1, activation = "relu" },
  { conv2d = 4, kernel = 3, padding = 1, activation = "relu" },
  { max_pool = 2 },
  { flatten = true },
  { linear = 3 },
]
)";

class Across : public testing::Test {
 protected:
  Plan compiled(Claims claims = Claims::on) {
    const test::Job job = test::job_of(model::parse_network(twins, "twins.toml", 3), 4);
    const Assignment assignment = {.backend = &hare, .limits = {.tuning = &tuning}, .claims = claims, .rivals = {&tortoise}};
    return compile(test::training_graph(job), assignment, test::order_of(job));
  }
  static std::vector<const Step*> steps_of(const Plan& plan, std::string_view what) {
    std::vector<const Step*> found;
    for (const Step& step : plan.steps())
      if (step.what == what) found.push_back(&step);
    return found;
  }

  PacedDevice device;
  PacedBackend hare{"hare", device, {}}, tortoise{"tortoise", device, {}};
  Tuning tuning;
};

TEST_F(Across, EachStepIsThatOfTheFasterBackend) {
  hare.pace.conv = 10, tortoise.pace.conv = 12;
  hare.pace.linear = 9, tortoise.pace.linear = 7;
  const Plan plan = compiled();
  for (const Step* conv : steps_of(plan, "conv2d_forward")) {
    EXPECT_EQ(conv->kernel->provider(), "hare");
    EXPECT_EQ(conv->measured, (Tuning::Choice{"hare", 10, "tortoise", 12}));
  }
  const std::vector<const Step*> linear = steps_of(plan, "linear_forward");
  ASSERT_EQ(linear.size(), 1u);
  EXPECT_EQ(linear[0]->backend, "tortoise");
  EXPECT_EQ(linear[0]->measured, (Tuning::Choice{"tortoise", 7, "hare", 9}));
  const std::string text = test::words_of(dump(plan));
  EXPECT_NE(text.find("tortoise 7.0 us, hare 9.0 us"), std::string::npos) << text;
}

TEST_F(Across, WhatAllInheritIsNotMeasured) {
  const Plan plan = compiled();
  for (const Step& step : plan.steps()) EXPECT_EQ(step.measured.has_value(), step.kernel->provider() != "eigen") << step.what;
  for (const auto& [problem, choice] : tuning.choices()) EXPECT_NE(problem.find("hare, tortoise"), std::string::npos) << problem;
}

TEST_F(Across, EqualProblemsAreMeasuredOnce) {
  compiled();
  const int64_t once = device.microseconds;
  EXPECT_EQ(steps_of(compiled(), "conv2d_forward").size(), 2u);
  EXPECT_EQ(device.microseconds, once);  // the second plan is made of what the first has measured
  const auto count = std::count_if(tuning.choices().begin(), tuning.choices().end(),
                                   [](const auto& entry) { return entry.first.find("conv2d_forward") != std::string::npos; });
  EXPECT_EQ(count, 1);
}

TEST_F(Across, ChoicesStayWhenSpeedsChange) {
  hare.pace.conv = 5, tortoise.pace.conv = 50;
  compiled();
  hare.pace.conv = 50, tortoise.pace.conv = 5;
  EXPECT_EQ(steps_of(compiled(), "conv2d_forward")[0]->kernel->provider(), "hare");
  tuning = Tuning();
  EXPECT_EQ(steps_of(compiled(), "conv2d_forward")[0]->kernel->provider(), "tortoise");
}

TEST_F(Across, AClaimIsTakenWhereItIsFasterThanItsParts) {
  tortoise.pace.bias_and_relu = 6;
  const Plan plan = compiled();
  const std::vector<const Step*> claims = steps_of(plan, "bias+relu");
  ASSERT_EQ(claims.size(), 2u);
  EXPECT_EQ(claims[0]->backend, "tortoise");
  EXPECT_EQ(claims[0]->measured, (Tuning::Choice{"tortoise bias+relu", 6, "in parts", 7}));
  EXPECT_NE(test::words_of(dump(plan)).find("tortoise 6.0 us, in parts 7.0 us"), std::string::npos);
  EXPECT_TRUE(steps_of(compiled(Claims::off), "bias+relu").empty());
}

TEST_F(Across, AClaimThatIsSlowerThanItsPartsIsLeft) {
  hare.pace.bias_and_relu = 8;  // the parts take 7: 3 by either, 4 by either
  const Plan plan = compiled();
  EXPECT_TRUE(steps_of(plan, "bias+relu").empty());
  EXPECT_EQ(steps_of(plan, "activation_forward").size(), 2u);
  hare.pace.bias = 5;
  tortoise.pace.relu = 9;
  tuning = Tuning();
  EXPECT_EQ(steps_of(compiled(), "bias+relu").size(), 0u);  // 3 of the tortoise and 4 of the hare
  tortoise.pace.bias = 5;
  tuning = Tuning();
  EXPECT_EQ(steps_of(compiled(), "bias+relu").size(), 2u);
}

// The claim of the forward pass leaves out what the gradient of the activation reads by itself: both are taken, or none.
TEST_F(Across, ClaimsThatNeedEachOtherAreTakenTogether) {
  hare.pace.relu = tortoise.pace.relu = 30;
  hare.pace.relu_and_pool = 5;
  hare.pace.pool_and_relu_backward = 9;  // slower than its parts, which take no time here, but less than the other one saves
  const Plan both = compiled();
  EXPECT_EQ(steps_of(both, "relu+pool").size(), 1u);
  EXPECT_EQ(steps_of(both, "pool+relu backward").size(), 1u);
  EXPECT_EQ(steps_of(both, "pool+relu backward")[0]->measured, (Tuning::Choice{"hare pool+relu backward", 9, "in parts", 0}));
  hare.pace.pool_and_relu_backward = 90;
  tuning = Tuning();
  const Plan none = compiled();
  EXPECT_TRUE(steps_of(none, "relu+pool").empty());
  EXPECT_TRUE(steps_of(none, "pool+relu backward").empty());
}

TEST_F(Across, NeedsAPlaceForTheTimes) {
  const test::Job job = test::job_of(model::parse_network(twins, "twins.toml", 3), 4);
  data::error_text(ExitCode::internal,
                   [&] { compile(test::training_graph(job), {.backend = &hare, .rivals = {&tortoise}}, test::order_of(job)); });
}

TEST_F(Across, AChoiceThatNobodyOffersIsRefused) {
  compiled();
  for (const auto& [problem, choice] : std::map(tuning.choices())) tuning.keep(problem, {"snail", 1, "hare", 2});
  const std::string text = data::error_text(ExitCode::data, [&] { compiled(); });
  EXPECT_NE(text.find("say `snail`, which nobody offers"), std::string::npos) << text;
}

// A law: whichever is faster, the results are those of each by itself, within what their sums may differ.
TEST(AcrossBackends, GiveTheResultsOfOne) {
  for (const model::Network& network : {model::load_network("lenet5"), model::load_network("resnet20")}) {
    const std::string& name = network.name;
    eigen::EigenBackend eigen;
    openmp::OpenmpBackend openmp;
    test::Job job = test::job_of(network, 4);
    job.recipe.optimizer = "adam";
    job.recipe.learning_rate = 1e-3;
    Tuning tuning;
    test::Training one(job, {.backend = &openmp, .limits = {.threads = 2}});
    const Assignment assignment = {.backend = &openmp, .limits = {.threads = 2, .tuning = &tuning}, .rivals = {&eigen}};
    test::Training across(job, assignment);
    EXPECT_FALSE(tuning.choices().empty());
    EXPECT_LT(test::largest_difference(across.steps(3), one.steps(3)), 1e-5) << name;
    const Tuning before = tuning;
    test::Training again(job, assignment);
    EXPECT_EQ(tuning, before);
    again.steps(3);
    EXPECT_EQ(again.weights(), across.weights()) << name;
  }
}

}  // namespace
}  // namespace fovea::plan
