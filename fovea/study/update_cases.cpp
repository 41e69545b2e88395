// Every optimiser with and without decay, at the first step and a later one; clipping, averages and running statistics.
#include <fmt/format.h>

#include "fovea/study/case_families.h"

namespace fovea::study {
namespace {

struct Rule {
  std::string name;
  UpdateRule rule;
  Exactness exactness = Exactness::no;
};

void add(std::vector<OpCase>& cases, const Update& op, const std::string& text, const Rule& rule) {
  for (const uint32_t step : {0u, 9u}) {
    OpCase added;
    added.name = fmt::format("{} {} step {}{}", Update::name, rule.name, step, text);
    added.op = op;
    added.exactness = rule.exactness;
    added.control = {.step = step, .learning_rate = 0.125f};
    cases.push_back(std::move(added));
  }
}

}  // namespace

void add_updates(std::vector<OpCase>& cases) {
  const std::vector<Update::Parameter> plain = {{.elements = 37}, {.elements = 1}, {.elements = 300}};
  const std::vector<Update::Parameter> decayed = {
      {.elements = 37, .decay = 0.25f}, {.elements = 5, .rate_scale = 0.5f}, {.elements = 64, .rate_scale = 0}};
  const std::vector<Rule> rules = {
      {"sgd", Sgd{}, Exactness::yes},
      {"momentum 0.5", Sgd{0.5f}, Exactness::yes},
      {"nesterov 0.5", Sgd{0.5f, Sgd::Nesterov::yes}, Exactness::yes},
      {"momentum 0.9", Sgd{0.9f}},
      {"adam", Adam{}},
      {"adam 0.8 0.95 1e-3", Adam{0.8f, 0.95f, 1e-3f}},
      {"adamw", AdamW{}},
      {"rmsprop", RmsProp{}},
      {"rmsprop 0.9 1e-3 momentum 0.5", RmsProp{0.9f, 1e-3f, 0.5f}},
  };
  for (const Rule& rule : rules) {
    add(cases, {rule.rule, plain, {}}, "", rule);
    add(cases, {rule.rule, decayed, {}}, " decay", rule);
    Rule rounded = rule;
    rounded.exactness = Exactness::no;
    add(cases, {.rule = rule.rule, .parameters = decayed, .types = {}, .clip_norm = 0.5f}, " clip", rounded);
    add(cases, {.rule = rule.rule, .parameters = decayed, .types = {}, .ema_decay = 0.99f}, " average", rounded);
    Update running = {.rule = rule.rule, .parameters = plain, .types = {}, .clip_norm = 2, .ema_decay = 0.1f};
    running.running = {{.c = 5, .momentum = 0.1f, .unbias = {64.0f / 63}}, {.c = 70, .momentum = 0.9f, .unbias = {9.0f / 8, 2}}};
    add(cases, running, " clip average running", rounded);
  }
  Update running = {.rule = Sgd{}, .parameters = plain, .types = {}};
  running.running = {{.c = 33, .momentum = 0.5f, .unbias = {2}}, {.c = 3, .momentum = 0.25f, .unbias = {1, 2, 1}}};
  add(cases, running, " running", rules[0]);
  Update large = {.rule = Adam{}, .parameters = {{.elements = 5003}, {.elements = 1}, {.elements = 20000, .decay = 0.25f}}, .types = {}};
  large.ema_decay = 0.5f;
  large.running = running.running;
  large.images = 32;
  add(cases, large, " of many parameters", {"adam", Adam{}});
  for (OpCase flagged : {cases[cases.size() - 4], cases.back()}) {
    flagged.name += " after a loss that is not finite";
    flagged.exactness = Exactness::yes;  // nothing changes
    flagged.metrics.non_finite = 1;
    cases.push_back(std::move(flagged));
  }
  for (const std::vector<int64_t>& elements : std::vector<std::vector<int64_t>>{{1}, {7, 1, 300}, {5000, 33}, {9000, 1, 20000}}) {
    OpCase norm;
    norm.op = GradientNorm{elements, {}};
    norm.name = fmt::format("{} of {} tensors, {} first", GradientNorm::name, elements.size(), elements[0]);
    cases.push_back(std::move(norm));
  }
}

}  // namespace fovea::study
