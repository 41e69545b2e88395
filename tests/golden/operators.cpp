// Turns the cases of operators.json into runs of operators.
#include "tests/golden/operators.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace fovea::golden {
namespace {

using nlohmann::json;
using test::Operand;
using Values = std::vector<double>;

template <class T>
Operand struct_operand(const T& value) {
  Operand made = test::make_operand({DType::byte, {sizeof(T)}});
  std::memcpy(made.bytes.data(), &value, sizeof(T));
  return made;
}

Op in_double(const Op& op) { return study::with_types(op, test::all_double); }

class Reader {
 public:
  explicit Reader(const json& from) : case_(from), tensors_(from.at("tensors")) {}

  std::vector<Check> operator()() {
    const std::string family = text("op");
    if (family == "conv2d") conv2d();
    if (family == "avg_pool") avg_pool();
    if (family == "max_pool") max_pool();
    if (family == "batch_norm") batch_norm();
    if (family == "activation") activation();
    if (family == "weighted_loss") weighted_loss();
    if (family == "update") updates();
    if (checks_.empty()) throw std::runtime_error("tests/golden/operators.json has an unknown operator " + family);
    return std::move(checks_);
  }

 private:
  int64_t whole(const char* key) const { return case_.at(key).get<int64_t>(); }
  float number(const char* key) const { return case_.at(key).get<float>(); }
  std::string text(const char* key) const { return case_.at(key).get<std::string>(); }
  Values values(const std::string& name) const { return tensors_.at(name).get<Values>(); }

  // The tensor of this name, in the type that the operator takes there.
  Operand operand(const graph::Type& type, const std::string& name) const {
    const Values from = values(name);
    if (type.dtype == DType::i32) return test::operand_of(type.shape, std::vector<int32_t>(from.begin(), from.end()));
    if (type.dtype == DType::u8) return test::operand_of(type.shape, std::vector<uint8_t>(from.begin(), from.end()));
    return test::operand_of(type.shape, from);
  }

  void add(const Op& with_any_types, const std::vector<std::string>& in, const std::vector<std::string>& out) {
    const Op op = in_double(with_any_types);
    Check check = begin(op);
    const std::vector<graph::Type> inputs = graph::inputs_of(op);
    for (size_t i = 0; i < in.size(); ++i) check.data.in.push_back(operand(inputs.at(i), in[i]));
    for (const graph::Type& type : graph::outputs_of(op)) {
      check.data.out.push_back(test::make_operand(type));
      std::ranges::fill(check.data.out.back().bytes, std::byte{0xFF});  // NaN
    }
    for (const std::string& name : out) check.expected.push_back(values(name));
    checks_.push_back(std::move(check));
  }
  Check begin(const Op& op) const {
    return {.name = text("name") + ": " + std::string(name_of(op)),
            .golden_case = text("name"),
            .family = text("op"),
            .op = op,
            .data = {},
            .expected = {}};
  }

  Window window() const {
    return {.r = whole("r"),
            .s = whole("s"),
            .stride_h = whole("stride_h"),
            .stride_w = whole("stride_w"),
            .pad_top = whole("pad_top"),
            .pad_bottom = whole("pad_bottom"),
            .pad_left = whole("pad_left"),
            .pad_right = whole("pad_right"),
            .dilation_h = whole("dilation_h"),
            .dilation_w = whole("dilation_w")};
  }

  void conv2d() {
    const Conv2dShape shape = {
        .n = whole("n"), .h = whole("h"), .w = whole("w"), .c = whole("c"), .k = whole("k"), .window = window(), .groups = whole("groups")};
    add(Conv2dForward{shape, {}}, {"x", "w"}, {"y"});
    add(Conv2dBackwardData{shape, Into::overwrite, {}}, {"dy", "w"}, {"dx"});
    add(Conv2dBackwardFilter{shape, Into::overwrite, {}}, {"x", "dy"}, {"dw"});
  }

  PoolShape pool_shape() const {
    const PoolShape shape = {.n = whole("n"),
                             .h = whole("h"),
                             .w = whole("w"),
                             .c = whole("c"),
                             .window = window(),
                             .rounding = case_.at("ceil").get<bool>() ? Rounding::ceil : Rounding::floor};
    if (shape.p() != whole("p") || shape.q() != whole("q")) throw std::runtime_error(text("name") + " has another size of output");
    return shape;
  }
  void avg_pool() {
    const CountPadding counted = case_.at("counted").get<bool>() ? CountPadding::yes : CountPadding::no;
    add(AvgPoolForward{pool_shape(), counted, {}}, {"x"}, {"y"});
    add(AvgPoolBackward{pool_shape(), counted, Into::overwrite, {}}, {"dy"}, {"dx"});
  }
  void max_pool() {
    add(MaxPoolForward{pool_shape(), {}}, {"x"}, {"y", "argmax"});
    add(MaxPoolBackward{pool_shape(), Into::overwrite, {}}, {"dy", "argmax"}, {"dx"});
  }

  void batch_norm() {
    const int64_t rows = whole("rows"), c = whole("c");
    const float epsilon = number("epsilon");
    add(BatchNormForward{rows, c, epsilon, {}}, {"x", "scale", "shift"}, {"y", "mean", "variance"});
    add(BatchNormBackward{.rows = rows, .c = c, .epsilon = epsilon, .types = {}}, {"x", "dy", "scale", "mean", "variance"},
        {"dx", "dscale", "dshift"});
    add(BatchNormInference{rows, c, epsilon, {}}, {"x", "scale", "shift", "mean_after", "variance_after"}, {"inference"});
    Update update = {.rule = Sgd{}, .parameters = {}, .types = {}};
    update.running = {{.c = c, .momentum = number("momentum"), .unbias = {number("unbias")}}};
    add_update(update, {}, {"mean", "variance"}, {{"mean_before", "mean_after"}, {"variance_before", "variance_after"}});
  }

  void activation() {
    const float slope = number("slope");
    for (const Activation kind : {Activation::leaky_relu, Activation::gelu, Activation::gelu_tanh, Activation::silu}) {
      if (name_of(kind) != text("activation")) continue;
      const int64_t elements = static_cast<int64_t>(values("x").size());
      add(ActivationForward{kind, elements, {}, slope}, {"x"}, {"y"});
      add(ActivationBackward{kind, elements, Into::overwrite, {}, slope}, {gradient_reads_input(kind) ? "x" : "y", "dy"}, {"dx"});
    }
  }

  void weighted_loss() {
    const int64_t n = whole("n");
    const std::vector<float> weights = case_.at("weights").get<std::vector<float>>();
    if (whole("k") == 1) {
      const BinaryCrossEntropyForward forward = {.n = n, .smoothing = number("smoothing"), .types = {}, .class_weights = weights};
      add(forward, {"x", "t"}, {"losses"});
      add(BinaryCrossEntropyBackward{.forward = forward, .divisor = n}, {"x", "t"}, {"dx"});
    } else {
      const SoftmaxCrossEntropyForward forward = {
          .n = n, .k = whole("k"), .smoothing = number("smoothing"), .types = {}, .class_weights = weights};
      add(forward, {"x", "t"}, {"losses"});
      add(SoftmaxCrossEntropyBackward{.forward = forward, .divisor = n}, {"x", "t"}, {"dx"});
    }
  }
  UpdateRule rule() const {
    const std::string kind = text("rule");
    if (kind == "sgd") return Sgd{number("momentum"), case_.at("nesterov").get<bool>() ? Sgd::Nesterov::yes : Sgd::Nesterov::no};
    if (kind == "rmsprop") return RmsProp{number("alpha"), number("epsilon"), number("momentum")};
    if (kind == "adam") return Adam{number("beta1"), number("beta2"), number("epsilon")};
    if (kind == "adamw") return AdamW{number("beta1"), number("beta2"), number("epsilon")};
    throw std::runtime_error("tests/golden/operators.json has an unknown rule " + kind);
  }

  struct Change {
    std::string before, after;  // names of tensors
  };

  void updates() {
    const int64_t first = static_cast<int64_t>(values("dw0.0").size()), second = static_cast<int64_t>(values("dw0.1").size());
    const Update update = {.rule = rule(),
                           .parameters = {{.elements = first, .decay = number("decay")}, {.elements = second, .rate_scale = 0.5f}},
                           .types = {},
                           .clip_norm = number("clip"),
                           .ema_decay = number("ema")};
    std::vector<std::string> states = {"w"};
    for (int moment = 1; moment <= moments_of(update.rule); ++moment) states.push_back("moment" + std::to_string(moment));
    if (update.ema_decay > 0) states.emplace_back("average");
    for (int64_t step = 0; step < whole("steps"); ++step) {
      const std::string of_step = std::to_string(step);
      std::vector<std::string> in = {"dw" + of_step + ".0", "dw" + of_step + ".1"};
      if (update.clip_norm > 0) {
        add(GradientNorm{{first, second}, {}}, in, {"norm" + of_step});
        in.push_back("norm" + of_step);
      }
      std::vector<Change> changes;
      for (const std::string& state : states)
        for (const char* parameter : {".0", ".1"})
          changes.push_back({"before" + of_step + "." + state + parameter, "after" + of_step + "." + state + parameter});
      add_update(update, {.step = static_cast<uint32_t>(step), .learning_rate = number("rate")}, in, changes);
    }
  }

  void add_update(const Update& update, const StepControl& control, const std::vector<std::string>& in,
                  const std::vector<Change>& changes) {
    const Op op = in_double(update);
    Check check = begin(op);
    check.name += " step " + std::to_string(control.step);
    const std::vector<graph::Type> inputs = graph::inputs_of(op), outputs = graph::outputs_of(op);
    check.data.in = {struct_operand(control), struct_operand(Metrics())};
    for (const std::string& name : in) check.data.in.push_back(operand(inputs.at(check.data.in.size()), name));
    for (const Change& change : changes) {
      check.data.out.push_back(operand(outputs.at(check.data.out.size()), change.before));
      check.expected.push_back(values(change.after));
    }
    checks_.push_back(std::move(check));
  }

  const json& case_;
  const json& tensors_;
  std::vector<Check> checks_;
};

json read_json() {
  std::ifstream file("tests/golden/operators.json");
  return json::parse(file);
}

}  // namespace

std::vector<Check> read_checks() {
  std::vector<Check> all;
  const json file = read_json();
  for (const json& one : file.at("cases"))
    for (Check& check : Reader(one)()) all.push_back(std::move(check));
  return all;
}

std::vector<Check> checks_of(std::string_view golden_case) {
  std::vector<Check> all = read_checks();
  std::erase_if(all, [&](const Check& check) { return check.golden_case != golden_case; });
  if (all.empty()) throw std::runtime_error("tests/golden/operators.json has no case " + std::string(golden_case));
  return all;
}

std::vector<WeightedMean> read_weighted_means() {
  std::vector<WeightedMean> means;
  const json file = read_json();
  for (const json& one : file.at("cases"))
    if (one.at("op") == "weighted_loss")
      means.push_back({one.at("name"), one.at("tensors").at("losses"), one.at("mean"), one.at("pytorch_mean")});
  return means;
}

Check in_float(Check check) {
  check.op = study::with_types(check.op, {});
  for (std::vector<Operand>* side : {&check.data.in, &check.data.out})
    for (Operand& operand : *side) {
      if (operand.type.dtype != DType::f64) continue;
      const Values values = test::values_of(operand);
      operand = test::operand_of(operand.type.shape, std::vector<float>(values.begin(), values.end()));
    }
  return check;
}

}  // namespace fovea::golden
