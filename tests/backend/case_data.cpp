// The data of an operator case: random, but valid (labels in range, places of a maximum inside the image, second moments not negative).
#include <algorithm>
#include <cmath>
#include <cstring>

#include "fovea/backend/registry.h"
#include "fovea/base/philox.h"
#include "tests/backend/case_runner.h"

namespace fovea::test {
namespace {

template <class T>
Operand struct_operand(const T& value) {
  Operand operand = make_operand({DType::byte, {sizeof(T)}});
  std::memcpy(operand.bytes.data(), &value, sizeof(T));
  return operand;
}

// Different labels of the operator's samples.
int64_t classes_of(const Op& op) {
  return std::visit(
      [](const auto& o) -> int64_t {
        if constexpr (requires { o.k; }) return std::max<int64_t>(o.k, 2);
        if constexpr (requires { o.forward.k; }) return o.forward.k;
        return 2;
      },
      op);
}

// Logits and the arguments of activations go up to 4.
double range_of(const Op& op) {
  const bool wide = std::holds_alternative<ActivationForward>(op) || std::holds_alternative<SoftmaxCrossEntropyForward>(op) ||
                    std::holds_alternative<SoftmaxCrossEntropyBackward>(op) || std::holds_alternative<BinaryCrossEntropyForward>(op) ||
                    std::holds_alternative<BinaryCrossEntropyBackward>(op);
  return wide ? 4 : 1;
}

class Maker {
 public:
  Maker(const study::OpCase& op_case, Fill fill, uint64_t seed) : op_case_(op_case), fill_(fill), seed_(seed) {}

  CaseData operator()() {
    CaseData data;
    for (const graph::Type& type : graph::inputs_of(op_case_.op)) data.in.push_back(make(type));
    std::visit([&](const auto& op) { put_results_of_forward(op, data); }, op_case_.op);
    for (const graph::Type& type : graph::outputs_of(op_case_.op)) {
      data.out.push_back(study::adds_into_output(op_case_.op) ? make(type) : make_operand(type));
      if (!study::adds_into_output(op_case_.op)) std::ranges::fill(data.out.back().bytes, std::byte{0xFF});
    }
    if (const Update* update = std::get_if<Update>(&op_case_.op)) make_valid(*update, data);
    if (std::holds_alternative<BatchNormInference>(op_case_.op)) make_positive(data.in[4]);
    return data;
  }

 private:
  uint32_t next() {
    if (drawn_ % 4 == 0) bits_ = philox(seed_, Draw::test, drawn_ / 4, 1, 0);
    return bits_.v[drawn_++ % 4];
  }

  Operand make(const graph::Type& type) {
    if (type.dtype == DType::byte && type.shape[0] == sizeof(StepControl)) return struct_operand(op_case_.control);
    if (type.dtype == DType::byte && type.shape[0] == sizeof(LossScale)) return struct_operand(op_case_.loss_scale);
    if (type.dtype == DType::byte) return struct_operand(op_case_.metrics);
    const size_t elements = static_cast<size_t>(type.shape.elements());
    if (type.dtype == DType::i32) {
      std::vector<int32_t> labels(elements);
      for (int32_t& label : labels) label = make_label();
      return operand_of(type.shape, labels);
    }
    if (type.dtype == DType::u8) {
      std::vector<uint8_t> pixels(elements);
      for (uint8_t& pixel : pixels) pixel = static_cast<uint8_t>(next());
      return operand_of(type.shape, pixels);
    }
    if (type.dtype == DType::u16) return make_operand(type);  // only as argmax, which the forward operator fills in
    std::vector<double> values(elements);
    for (double& value : values) value = static_cast<double>(make_value());
    Operand operand = make_operand(type);
    set_values(operand, values);
    return operand;
  }

  int32_t make_label() {
    if (op_case_.labels == study::Labels::some_ignored && to_below(next(), 3) == 0) return ignored_label;
    return static_cast<int32_t>(to_below(next(), static_cast<uint32_t>(classes_of(op_case_.op))));
  }

  float make_value() {
    if (fill_ == Fill::small_integer) return static_cast<float>(to_below(next(), 7)) - 3;
    return (2 * to_unit(next()) - 1) * static_cast<float>(range_of(op_case_.op));
  }

  // Second moments, norms and variances are not negative.
  static void make_valid(const Update& update, CaseData& data) {
    const UpdatePlaces places = places_of(update);
    const bool squares_first = std::holds_alternative<RmsProp>(update.rule);
    for (size_t i = squares_first ? places.moment1 : places.moment2; i < data.out.size(); ++i)
      if (is_floating(data.out[i].type.dtype)) make_positive(data.out[i]);
    for (size_t i = places.norm; i < data.in.size(); ++i) make_positive(data.in[i]);
  }

  static void make_positive(Operand& operand) {
    std::vector<double> values = values_of(operand);
    for (double& value : values) value = std::abs(value) + 0.125;
    set_values(operand, values);
  }

  // A gradient operator reads what its forward operator wrote.
  void put_results_of_forward(const MaxPoolBackward& op, CaseData& data) {
    data.in[1] = forward_of(MaxPoolForward{.shape = op.shape, .types = op.types})[1];
  }
  void put_results_of_forward(const ActivationBackward& op, CaseData& data) {
    if (!gradient_reads_input(op.activation)) data.in[0] = forward_of(ActivationForward{op.activation, op.elements, op.types, op.slope})[0];
  }
  void put_results_of_forward(const BatchNormBackward& op, CaseData& data) {
    const Op forward = BatchNormForward{op.rows, op.c, op.epsilon, op.types};
    CaseData of_forward = {{data.in[0], data.in[2], data.in[2]}, {}};
    for (const graph::Type& type : graph::outputs_of(forward)) of_forward.out.push_back(make_operand(type));
    const std::unique_ptr<Backend> reference = open_backend("reference");
    std::vector<Operand> results = run_case(*reference, forward, of_forward);
    data.in[3] = std::move(results[1]);
    data.in[4] = std::move(results[2]);
  }
  void put_results_of_forward(const auto&, CaseData&) {}

  std::vector<Operand> forward_of(const Op& op) {
    study::OpCase forward;
    forward.op = op;
    const std::unique_ptr<Backend> reference = open_backend("reference");
    return run_case(*reference, op, make_data(forward, fill_, seed_ + 1));
  }

  const study::OpCase& op_case_;
  Fill fill_;
  uint64_t seed_;
  uint32_t drawn_ = 0;
  Random4 bits_{};
};

}  // namespace

CaseData make_data(const study::OpCase& op_case, Fill fill, uint64_t seed) { return Maker(op_case, fill, seed)(); }

}  // namespace fovea::test
