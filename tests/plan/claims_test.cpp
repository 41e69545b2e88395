// A backend that takes two nodes as one step.
#include <fmt/format.h>

#include <algorithm>

#include "fovea/backend/eigen/backend.h"
#include "fovea/plan/dump.h"
#include "tests/data/data_folder.h"
#include "tests/plan/small_training.h"

namespace fovea::plan {
namespace {

using graph::Node;

// Bias and activation, one after the other, the value between them in the workspace.
class BiasAndActivation final : public Kernel {
 public:
  BiasAndActivation(const BiasForward& bias, const ActivationForward& activation, eigen::EigenBackend& backend, const Limits& limits)
      : Kernel("claiming"),
        bias_(backend.make(bias, limits)),
        activation_(backend.make(activation, limits)),
        elements_(activation.elements) {}
  std::string algorithm() const override { return "one after the other"; }
  size_t workspace_bytes() const override { return between_bytes() + std::max(bias_->workspace_bytes(), activation_->workspace_bytes()); }
  void bind(Buffers buffers, void* workspace) override {
    const Tensor between = {workspace, DType::f32, {elements_}};
    std::byte* rest = static_cast<std::byte*>(workspace) + between_bytes();
    bias_->bind({{buffers.in[0], buffers.in[1]}, {between}}, rest);
    activation_->bind({{between}, {buffers.out[0]}}, rest);
  }
  void run(Stream& stream) override {
    bias_->run(stream);
    activation_->run(stream);
  }

 private:
  size_t between_bytes() const { return aligned(static_cast<size_t>(elements_) * sizeof(float)); }

  KernelPtr bias_, activation_;
  int64_t elements_;
};

class ClaimingBackend final : public eigen::EigenBackend {
 public:
  std::string_view name() const override { return "claiming"; }
  std::optional<Claim> claim(const Neighbours& around, const Limits& limits) override {
    if (around.nodes.size() < 2) return std::nullopt;
    const Node &first = around.nodes[0], &second = around.nodes[1];
    const auto* bias = std::get_if<BiasForward>(&first.op);
    const auto* activation = std::get_if<ActivationForward>(&second.op);
    if (bias == nullptr || activation == nullptr || second.in[0] != first.out[0]) return std::nullopt;
    if (around.uses[static_cast<size_t>(first.out[0])] != 1) return std::nullopt;
    return Claim{2, "bias+activation", std::make_unique<BiasAndActivation>(*bias, *activation, *this, limits), first.in, second.out};
  }
};

// Claims a number of nodes that cannot be.
class GreedyBackend final : public eigen::EigenBackend {
 public:
  explicit GreedyBackend(size_t nodes) : nodes_(nodes) {}
  std::string_view name() const override { return "greedy"; }
  std::optional<Claim> claim(const Neighbours&, const Limits&) override { return Claim{nodes_, "everything", nullptr, {}, {}}; }

 private:
  size_t nodes_;
};

size_t count_steps(const Plan& plan, std::string_view what) {
  return static_cast<size_t>(std::count_if(plan.steps().begin(), plan.steps().end(), [&](const Step& step) { return step.what == what; }));
}

TEST(Claims, AreOneStepThatKeepsItsInnerValuesToItself) {
  ClaimingBackend backend;
  test::Training training(test::job_of(model::load_network("lenet5"), 4), {.backend = &backend});
  const Plan& plan = training.session.plan(0);
  EXPECT_EQ(count_steps(plan, "bias+activation"), 4u);
  EXPECT_EQ(count_steps(plan, "bias_forward"), 1u);  // of the last layer, which has no activation
  EXPECT_EQ(count_steps(plan, "activation_forward"), 0u);
  const graph::ValueId between = plan.graph().find("conv1.bias_forward");
  ASSERT_NE(between, graph::no_value);
  EXPECT_EQ(plan.placement(between).where, Placement::Where::nowhere);
  data::error_text(ExitCode::internal, [&] { plan.tensor(between); });
  EXPECT_NE(test::words_of(dump(plan)).find("conv1 bias+activation claiming one after the other (4, 28, 28, 6)"), std::string::npos);
}

TEST(Claims, GiveTheResultsOfTheirParts) {
  ClaimingBackend backend;
  const test::Job job = test::job_of(model::load_network("lenet5"), 4);
  test::Training with(job, {.backend = &backend}), without(job, {.backend = &backend, .claims = Claims::off});
  EXPECT_EQ(count_steps(without.session.plan(0), "bias+activation"), 0u);
  EXPECT_EQ(with.session.plan(0).macs(), without.session.plan(0).macs());
  EXPECT_LT(test::largest_difference(with.steps(3), without.steps(3)), 1e-6);
  EXPECT_LT(test::largest_difference(with.weights(), without.weights()), 1e-6);
}

TEST(Claims, NeverTakeAcrossBackends) {
  ClaimingBackend backend;
  eigen::EigenBackend plain;
  graph::Graph graph = test::training_graph(test::job_of(model::load_network("lenet5"), 4));
  for (Node& node : graph.nodes)
    if (node.name == "conv1" && std::holds_alternative<ActivationForward>(node.op)) node.name = "elsewhere";
  const std::vector<std::string> order = train::parameter_order(graph);
  const Plan plan = compile(std::move(graph), {.backend = &backend, .of_layer = {{"elsewhere", &plain}}}, order);
  EXPECT_EQ(count_steps(plan, "bias+activation"), 3u);
  EXPECT_EQ(count_steps(plan, "activation_forward"), 1u);
}

TEST(Claims, OfNoNodeOrOfTooManyAreRefused) {
  const test::Job job = test::job_of(model::load_network("lenet5"), 4);
  for (const size_t nodes : {0, 1000}) {
    GreedyBackend backend(nodes);
    const std::string text =
        data::error_text(ExitCode::internal, [&] { compile(test::training_graph(job), {.backend = &backend}, test::order_of(job)); });
    EXPECT_NE(text.find(fmt::format("backend `greedy` claims {} of the ", nodes)), std::string::npos) << text;
    EXPECT_NE(text.find("nodes from `data` on as `everything`"), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace fovea::plan
