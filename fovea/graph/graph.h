// A step of training or evaluation as nodes over named values: canonical and unfused, in an order in which it can run.
#pragma once

#include <string>
#include <vector>

#include "fovea/graph/op.h"

namespace fovea::graph {

using ValueId = int32_t;
inline constexpr ValueId no_value = -1;

// Decides the arena in which a value lies.
enum class Role : uint8_t {
  pixels,   // the data set: (images, h, w, c) u8
  labels,   // of the data set
  control,  // StepControl
  metrics,  // Metrics
  parameter,
  gradient,    // of a parameter
  state,       // moments of the optimiser
  running,     // statistics of batch norms; the same in training and evaluation
  average,     // of a parameter over the steps; the plan that evaluates with averages has them in the place of its parameters
  working,     // a copy of a parameter in the type of the factors of products
  activation,  // everything that lives only within a step
};

struct Value {
  std::string name;
  Role role = Role::activation;
  DType dtype = DType::f32;
  Shape shape;
  ValueId view_of = no_value;  // the same memory in another shape
  bool frozen = false;         // a parameter that gets no gradient
  ValueId copy_of = no_value;  // the parameter that this is a working copy of; a gradient by one is the parameter's
};
inline constexpr std::string_view working_suffix = ".working";
inline constexpr std::string_view loss_scale_name = "loss_scale";  // of the value, where there is one

struct Node {
  Op op;
  std::string name;              // of the layer: "conv1"
  std::vector<ValueId> in, out;  // in the order that op.h gives
  int micro_batch = 0;
};

struct Graph {
  std::vector<Value> values;
  std::vector<Node> nodes;

  const Value& value(ValueId id) const { return values[static_cast<size_t>(id)]; }
  ValueId add_value(Value value);
  ValueId find(std::string_view name) const;             // no_value if there is none
  ValueId storage_of(ValueId id) const;                  // follows view_of to the value that owns the memory
  ValueId working_copy(ValueId parameter, DType dtype);  // found by name, or added

  // Adds a node with outputs of the shapes and types that the operator's rule gives; returns its first output (no_value if it has none).
  ValueId add(Op op, std::string name, std::vector<ValueId> in, int micro_batch = 0);
  // The same with outputs that exist already: gradients that are added to, parameters, metrics.
  void add_into(Op op, std::string name, std::vector<ValueId> in, std::vector<ValueId> out, int micro_batch = 0);
};

struct Type {
  DType dtype = DType::f32;
  Shape shape;
  bool operator==(const Type&) const = default;
};
// The shape rules: what a kernel for this operator is bound to.
std::vector<Type> inputs_of(const Op& op);
std::vector<Type> outputs_of(const Op& op);

}  // namespace fovea::graph
