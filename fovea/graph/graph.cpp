// Values, nodes, and the rules that give the shapes and types of an operator's inputs and outputs.
#include "fovea/graph/graph.h"

#include <fmt/format.h>

#include "fovea/base/error.h"

namespace fovea::graph {
namespace {

struct Signature {
  std::vector<Type> in, out;
};

const Type control = {DType::byte, {sizeof(StepControl)}};
const Type metrics = {DType::byte, {sizeof(Metrics)}};
const Type loss_scale = {DType::byte, {sizeof(LossScale)}};

// With the loss scale as the last input, if there is one.
Signature scaled(Scaling scaling, Signature signature) {
  if (scaling == Scaling::dynamic) signature.in.push_back(loss_scale);
  return signature;
}

// One rule per operator: add yours here.
struct Rules {
  Signature operator()(const Augment& o) const {
    return {{{DType::u8, {o.images, o.h, o.w, o.c}}, {DType::i32, {o.images}}, control},
            {{o.types.y, {o.n, o.h, o.w, o.c}}, {DType::i32, {o.n}}}};
  }
  Signature operator()(const Reorder& o) const { return {{{o.dtype, o.shape}}, {{o.dtype, o.shape}}}; }
  Signature operator()(const Convert& o) const { return {{{o.types.x, {o.elements}}}, {{o.types.y, {o.elements}}}}; }
  Signature operator()(const Conv2dForward& o) const {
    return {{{o.types.x, o.shape.x()}, {o.types.w, o.shape.filter()}}, {{o.types.y, o.shape.y()}}};
  }
  Signature operator()(const Conv2dBackwardData& o) const {
    return {{{o.types.y, o.shape.y()}, {o.types.w, o.shape.filter()}}, {{o.types.x, o.shape.x()}}};
  }
  Signature operator()(const Conv2dBackwardFilter& o) const {
    return {{{o.types.x, o.shape.x()}, {o.types.y, o.shape.y()}}, {{o.types.w, o.shape.filter()}}};
  }
  Signature operator()(const BiasForward& o) const {
    return {{{o.types.x, {o.rows, o.k}}, {o.types.w, {o.k}}}, {{o.types.y, {o.rows, o.k}}}};
  }
  Signature operator()(const BiasBackward& o) const { return {{{o.types.y, {o.rows, o.k}}}, {{o.types.w, {o.k}}}}; }
  Signature operator()(const LinearForward& o) const {
    return {{{o.types.x, o.shape.x()}, {o.types.w, o.shape.weight()}}, {{o.types.y, o.shape.y()}}};
  }
  Signature operator()(const LinearBackwardData& o) const {
    return {{{o.types.y, o.shape.y()}, {o.types.w, o.shape.weight()}}, {{o.types.x, o.shape.x()}}};
  }
  Signature operator()(const LinearBackwardFilter& o) const {
    return {{{o.types.x, o.shape.x()}, {o.types.y, o.shape.y()}}, {{o.types.w, o.shape.weight()}}};
  }
  Signature operator()(const MaxPoolForward& o) const {
    return {{{o.types.x, o.shape.x()}}, {{o.types.y, o.shape.y()}, {argmax_dtype(o.shape.window), o.shape.y()}}};
  }
  Signature operator()(const MaxPoolBackward& o) const {
    return {{{o.types.y, o.shape.y()}, {argmax_dtype(o.shape.window), o.shape.y()}}, {{o.types.x, o.shape.x()}}};
  }
  Signature operator()(const AvgPoolForward& o) const { return {{{o.types.x, o.shape.x()}}, {{o.types.y, o.shape.y()}}}; }
  Signature operator()(const AvgPoolBackward& o) const { return {{{o.types.y, o.shape.y()}}, {{o.types.x, o.shape.x()}}}; }
  static Type per_channel(const Types& types, int64_t c) { return {types.w, {c}}; }
  Signature operator()(const BatchNormForward& o) const {
    const Type channel = per_channel(o.types, o.c);
    return {{{o.types.x, {o.rows, o.c}}, channel, channel}, {{o.types.y, {o.rows, o.c}}, channel, channel}};
  }
  Signature operator()(const BatchNormInference& o) const {
    const Type channel = per_channel(o.types, o.c);
    return {{{o.types.x, {o.rows, o.c}}, channel, channel, channel, channel}, {{o.types.y, {o.rows, o.c}}}};
  }
  Signature operator()(const BatchNormBackward& o) const {
    const Type channel = per_channel(o.types, o.c);
    return {{{o.types.x, {o.rows, o.c}}, {o.types.y, {o.rows, o.c}}, channel, channel, channel},
            {{o.types.x, {o.rows, o.c}}, channel, channel}};
  }
  Signature operator()(const Add& o) const { return {{{o.types.x, {o.elements}}, {o.types.x, {o.elements}}}, {{o.types.y, {o.elements}}}}; }
  Signature operator()(const ConcatForward& o) const {
    Signature signature = {{}, {{o.types.y, {o.rows, o.c()}}}};
    for (const int64_t channels : o.channels) signature.in.push_back({o.types.x, {o.rows, channels}});
    return signature;
  }
  Signature operator()(const ConcatBackward& o) const {
    const ConcatForward& f = o.forward;
    return {{{f.types.y, {f.rows, f.c()}}}, {{f.types.x, {f.rows, f.channels[static_cast<size_t>(o.part)]}}}};
  }
  Signature operator()(const ShortcutForward& o) const { return {{{o.types.x, o.shape.x()}}, {{o.types.y, o.shape.y()}}}; }
  Signature operator()(const ShortcutBackward& o) const { return {{{o.types.y, o.shape.y()}}, {{o.types.x, o.shape.x()}}}; }
  Signature operator()(const ActivationForward& o) const { return {{{o.types.x, {o.elements}}}, {{o.types.y, {o.elements}}}}; }
  Signature operator()(const ActivationBackward& o) const {
    return {{{o.types.y, {o.elements}}, {o.types.y, {o.elements}}}, {{o.types.x, {o.elements}}}};
  }
  Signature operator()(const Flatten& o) const {
    return {{{DType::f32, o.from}}, {{DType::f32, {o.from[0], o.from.elements() / o.from[0]}}}};
  }
  Signature operator()(const DropoutForward& o) const {
    return {{{o.types.x, {o.n, o.elements}}, control}, {{o.types.y, {o.n, o.elements}}}};
  }
  Signature operator()(const DropoutBackward& o) const {
    return {{{o.forward.types.y, {o.forward.n, o.forward.elements}}, control}, {{o.forward.types.x, {o.forward.n, o.forward.elements}}}};
  }
  Signature operator()(const SoftmaxCrossEntropyForward& o) const {
    return {{{o.types.x, {o.n, o.k}}, {DType::i32, {o.n}}}, {{o.types.y, {o.n}}}};
  }
  Signature operator()(const SoftmaxCrossEntropyBackward& o) const {
    const SoftmaxCrossEntropyForward& f = o.forward;
    return scaled(o.scaling, {{{f.types.x, {f.n, f.k}}, {DType::i32, {f.n}}}, {{f.types.x, {f.n, f.k}}}});
  }
  Signature operator()(const BinaryCrossEntropyForward& o) const {
    return {{{o.types.x, {o.n, 1}}, {DType::i32, {o.n}}}, {{o.types.y, {o.n}}}};
  }
  Signature operator()(const BinaryCrossEntropyBackward& o) const {
    const BinaryCrossEntropyForward& f = o.forward;
    return scaled(o.scaling, {{{f.types.x, {f.n, 1}}, {DType::i32, {f.n}}}, {{f.types.x, {f.n, 1}}}});
  }
  Signature operator()(const Score& o) const { return {{{o.types.x, {o.n, o.k}}, {DType::i32, {o.n}}, {o.types.y, {o.n}}}, {metrics}}; }
  Signature operator()(const GradientNorm& o) const {
    Signature signature = {{}, {{o.types.w, {1}}}};
    for (const int64_t elements : o.elements) signature.in.push_back({o.types.w, {elements}});
    return scaled(o.scaling, std::move(signature));
  }
  Signature operator()(const Update& o) const {
    Signature signature = {{control, metrics}, {}};
    for (const Update::Parameter& parameter : o.parameters) signature.in.push_back({o.types.w, {parameter.elements}});
    if (o.clip_norm > 0) signature.in.push_back({o.types.w, {1}});
    for (const Update::Running& running : o.running)
      for (size_t tensor = 0; tensor < 2 * running.unbias.size(); ++tensor) signature.in.push_back(per_channel(o.types, running.c));
    for (int tensor = 0; tensor < 1 + moments_of(o.rule) + (o.ema_decay > 0 ? 1 : 0); ++tensor)
      for (const Update::Parameter& parameter : o.parameters) signature.out.push_back({o.types.w, {parameter.elements}});
    for (const Update::Running& running : o.running)
      for (int tensor = 0; tensor < 2; ++tensor) signature.out.push_back(per_channel(o.types, running.c));
    for (const Update::Parameter& parameter : o.parameters)
      if (parameter.working == Update::Working::copy) signature.out.push_back({o.types.x, {parameter.elements}});
    if (o.scaling == Scaling::dynamic) signature.out.push_back(loss_scale);
    return signature;
  }
};

template <class... Some>
bool is_one_of(const Op& op) {
  return (std::holds_alternative<Some>(op) || ...);
}

// Element by element, or channel by channel: the first output has the input's axes, not the flat ones of the rule.
Shape shape_of_first_output(const Op& op, const Shape& in, const Shape& rule) {
  if (is_one_of<BiasForward, ActivationForward, ActivationBackward, DropoutForward, DropoutBackward, BatchNormForward, BatchNormInference,
                BatchNormBackward, Add, Convert>(op))
    return in;
  if (const ConcatForward* concat = std::get_if<ConcatForward>(&op)) {
    if (in.rank() == 4) return {in[0], in[1], in[2], concat->c()};
  }
  return rule;
}

}  // namespace

std::vector<Type> inputs_of(const Op& op) { return std::visit(Rules(), op).in; }
std::vector<Type> outputs_of(const Op& op) { return std::visit(Rules(), op).out; }

ValueId Graph::add_value(Value value) {
  values.push_back(std::move(value));
  return static_cast<ValueId>(values.size()) - 1;
}

ValueId Graph::find(std::string_view name) const {
  for (size_t id = 0; id < values.size(); ++id)
    if (values[id].name == name) return static_cast<ValueId>(id);
  return no_value;
}

ValueId Graph::storage_of(ValueId id) const {
  while (value(id).view_of != no_value) id = value(id).view_of;
  return id;
}

ValueId Graph::working_copy(ValueId parameter, DType dtype) {
  const Value& master = value(parameter);
  std::string name = master.name + std::string(working_suffix);
  const ValueId found = find(name);
  if (found != no_value) return found;
  return add_value({.name = std::move(name), .role = Role::working, .dtype = dtype, .shape = master.shape, .copy_of = parameter});
}

ValueId Graph::add(Op op, std::string name, std::vector<ValueId> in, int micro_batch) {
  std::vector<ValueId> out;
  for (const Type& type : outputs_of(op)) {
    Value result;
    result.name = fmt::format("{}.{}{}{}", name, name_of(op), out.empty() ? "" : fmt::format(".{}", out.size()),
                              micro_batch > 0 ? fmt::format("@{}", micro_batch) : "");
    result.dtype = type.dtype;
    result.shape = out.empty() && !in.empty() ? shape_of_first_output(op, value(in[0]).shape, type.shape) : type.shape;
    if (std::holds_alternative<Flatten>(op)) {
      result.view_of = in[0];
      result.dtype = value(in[0]).dtype;
    }
    out.push_back(add_value(std::move(result)));
  }
  const ValueId first = out.empty() ? no_value : out[0];
  add_into(std::move(op), std::move(name), std::move(in), std::move(out), micro_batch);
  return first;
}

void Graph::add_into(Op op, std::string name, std::vector<ValueId> in, std::vector<ValueId> out, int micro_batch) {
  const auto expect = [&](const std::vector<Type>& types, const std::vector<ValueId>& ids, std::string_view side) {
    bool fits = types.size() == ids.size();
    for (size_t i = 0; fits && i < ids.size(); ++i)
      fits = types[i].shape.elements() == value(ids[i]).shape.elements() &&
             (types[i].dtype == value(ids[i]).dtype || std::holds_alternative<Flatten>(op));
    if (!fits)
      throw Error(ExitCode::internal, fmt::format("the {} of node `{}` ({}) do not have the shapes and types that its operator asks for",
                                                  side, name, name_of(op)));
  };
  expect(inputs_of(op), in, "inputs");
  expect(outputs_of(op), out, "outputs");
  nodes.push_back({std::move(op), std::move(name), std::move(in), std::move(out), micro_batch});
}

}  // namespace fovea::graph
