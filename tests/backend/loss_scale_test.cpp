// The scale of the loss in fp16, on every backend that has it: what an update does with it, and what it does to an update.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "fovea/backend/loss_scale.h"
#include "fovea/backend/registry.h"
#include "tests/backend/case_runner.h"

namespace fovea::test {
namespace {

class LossScaleTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    std::string absent_because;
    backend_ = open_or_say_why_not(GetParam(), absent_because);
    if (!backend_) GTEST_SKIP() << absent_because;
  }

  static Update update_by(const UpdateRule& rule) {
    Update op = {.rule = rule, .parameters = {}, .types = {}, .ema_decay = 0.5f};
    for (const int64_t elements : {3, 5000, 1}) op.parameters.push_back({.elements = elements, .working = Update::Working::copy});
    op.running = {{.c = 2, .momentum = 0.5f, .unbias = {1}}};
    return std::get<Update>(graph::in_precision(op, graph::fp16));
  }
  static study::OpCase case_of(const Update& op, const LossScale& scale, uint32_t step = 3) {
    study::OpCase op_case;
    op_case.op = op;
    op_case.control = {.step = step, .learning_rate = 0.125f};
    op_case.loss_scale = scale;
    return op_case;
  }
  std::vector<Operand> run(const Update& op, const CaseData& data) const { return run_case(*backend_, op, data); }

  static LossScale scale_of(const Operand& operand) {
    LossScale scale;
    std::memcpy(&scale, operand.bytes.data(), sizeof scale);
    return scale;
  }
  static void expect_scale(const Operand& operand, const LossScale& expected) {
    const LossScale scale = scale_of(operand);
    EXPECT_EQ(scale.scale, expected.scale);
    EXPECT_EQ(scale.good_steps, expected.good_steps);
    EXPECT_EQ(scale.left_out, expected.left_out);
    EXPECT_EQ(scale.overflow, 0u);
  }

  std::unique_ptr<Backend> backend_;
  const std::vector<UpdateRule> rules_ = {Sgd{0.5f}, Adam{}, AdamW{}, RmsProp{.momentum = 0.5f}};
};

TEST_P(LossScaleTest, AnOverflowHalvesItAndChangesNothingElse) {
  for (const UpdateRule& rule : rules_)
    for (const double bad : {HUGE_VAL, -HUGE_VAL, std::nan("")})
      for (const auto& [tensor, place] : std::vector<std::pair<size_t, size_t>>{{0, 2}, {1, 0}, {1, 4999}, {2, 0}}) {
        const Update op = update_by(rule);
        CaseData data = make_data(case_of(op, {.scale = 64, .good_steps = 7, .left_out = 2}), Fill::uniform, 3);
        std::vector<double> gradient = values_of(data.in[2 + tensor]);
        gradient[place] = bad;
        set_values(data.in[2 + tensor], gradient);
        const std::vector<Operand> out = run(op, data);
        for (size_t i = 0; i + 1 < out.size(); ++i) EXPECT_TRUE(out[i].bytes == data.out[i].bytes) << "output " << i;
        expect_scale(out.back(), {.scale = 32, .good_steps = 0, .left_out = 3});
      }
}

TEST_P(LossScaleTest, IsNeverBelowOne) {
  const Update op = update_by(Adam{});
  CaseData data = make_data(case_of(op, {.scale = 1, .good_steps = 0, .left_out = 9}, 12), Fill::uniform, 3);
  set_values(data.in[2], {1, HUGE_VAL, 0});
  const std::vector<Operand> out = run(op, data);
  for (size_t i = 0; i < out.size(); ++i) EXPECT_TRUE(out[i].bytes == data.out[i].bytes) << "output " << i;
}

TEST_P(LossScaleTest, DoublesAfterManyGoodSteps) {
  const Update op = update_by(Sgd{});
  const auto after = [&](uint32_t good_steps) {
    return run(op, make_data(case_of(op, {.scale = 64, .good_steps = good_steps, .left_out = 1}), Fill::uniform, 3)).back();
  };
  expect_scale(after(1998), {.scale = 64, .good_steps = 1999, .left_out = 1});
  expect_scale(after(1999), {.scale = 128, .good_steps = 0, .left_out = 1});
}

// A power of two changes no bit of what is divided by it.
TEST_P(LossScaleTest, IsDividedOutOfTheGradients) {
  for (const UpdateRule& rule : rules_) {
    const Update op = update_by(rule);
    CaseData plain = make_data(case_of(op, {.scale = 1}), Fill::uniform, 3),
             scaled = make_data(case_of(op, {.scale = 1024}), Fill::uniform, 3);
    for (size_t i = 2; i < 5; ++i) {
      std::vector<double> gradient = values_of(scaled.in[i]);
      for (double& value : gradient) value *= 1024;
      set_values(scaled.in[i], gradient);
    }
    const std::vector<Operand> expected = run(op, plain), out = run(op, scaled);
    for (size_t i = 0; i + 1 < out.size(); ++i) EXPECT_TRUE(out[i].bytes == expected[i].bytes) << "output " << i;
  }
}

TEST_P(LossScaleTest, StepsThatWereLeftOutAreNotCounted) {
  for (const UpdateRule& rule : rules_) {
    const Update op = update_by(rule);
    const std::vector<Operand> expected = run(op, make_data(case_of(op, {.scale = 4}, 2), Fill::uniform, 3));
    const std::vector<Operand> out = run(op, make_data(case_of(op, {.scale = 4, .good_steps = 0, .left_out = 5}, 7), Fill::uniform, 3));
    for (size_t i = 0; i + 1 < out.size(); ++i) EXPECT_TRUE(out[i].bytes == expected[i].bytes) << "output " << i;
  }
}

std::vector<std::string> backends_with_fp16() {
  std::vector<std::string> names;
  for (const BackendEntry& entry : list_backends())
    if (entry.precisions == Precisions::all) names.push_back(entry.name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Backends, LossScaleTest, testing::ValuesIn(backends_with_fp16()), [](const auto& info) { return info.param; });

}  // namespace
}  // namespace fovea::test
