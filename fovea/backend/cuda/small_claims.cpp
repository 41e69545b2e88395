// Finds small networks in a graph: the convolutions in front of an evaluation, or everything between the data and the update of a step.
#include <fmt/format.h>

#include <algorithm>

#include "fovea/backend/cuda/claims.h"
#include "fovea/backend/cuda/small_net.h"
#include "fovea/backend/cuda/small_stage.h"

namespace fovea::cuda {
namespace {

using graph::Graph;
using graph::no_value;
using graph::Node;
using graph::ValueId;

bool is_relu(const auto* op) { return op != nullptr && op->activation == Activation::relu; }

// Walks along the nodes and keeps what it finds.
class Reader {
 public:
  explicit Reader(const Neighbours& around) : around_(around) {}

  // conv bias relu [max_pool], several times.
  bool read_convs() {
    x_ = value_ = around_.nodes.front().in.empty() ? no_value : around_.nodes.front().in[0];
    while (net_.convs.size() < most_stages && read_conv()) {
    }
    return !net_.convs.empty();
  }

  // linear bias relu, several times, then linear bias loss score.
  bool read_linears() {
    read<Flatten>();
    while (net_.linears.size() < most_stages && read_linear()) {
      if (layers_.back().relu == nullptr) return read_loss();
      if (read<ActivationForward>() == nullptr) return false;
    }
    return false;
  }

  // The gradients of all of them, from the last one on.
  bool read_gradients() {
    std::reverse(layers_.begin(), layers_.end());
    size_t left = layers_.size();
    for (Layer& layer : layers_) {
      const bool is_first = --left == 0, is_conv = left < net_.convs.size();
      if (layer.pool != nullptr && !read_pool_gradient(layer)) return false;
      if (layer.relu != nullptr && !read_relu_gradient(layer)) return false;
      const BiasBackward* bias = peek<BiasBackward>();
      if (bias == nullptr || !reads({gradient_})) return false;
      layer.db = take().out[0];
      const bool found =
          is_conv ? read_filter_gradients<Conv2dBackwardFilter, Conv2dBackwardData>(layer, net_.convs[left], bias->into, is_first)
                  : read_filter_gradients<LinearBackwardFilter, LinearBackwardData>(layer, net_.linears[left - net_.convs.size()],
                                                                                    bias->into, is_first);
      if (!found) return false;
    }
    std::reverse(layers_.begin(), layers_.end());
    return true;
  }

  // Whether no other node reads a value that these nodes write for themselves. `kept`: that others may read.
  bool keeps_to_itself(ValueId kept) const {
    const Graph& graph = around_.graph;
    std::vector<int> uses(graph.values.size());
    for (const Node& node : nodes())
      if (!std::holds_alternative<Flatten>(node.op))
        for (const ValueId id : node.in) ++uses[storage(id)];
    return std::all_of(nodes().begin(), nodes().end(), [&](const Node& node) {
      return std::all_of(node.out.begin(), node.out.end(), [&](ValueId id) {
        return id == kept || graph.value(id).role != graph::Role::activation || uses[storage(id)] == around_.uses[storage(id)];
      });
    });
  }

  const SmallNet& net() const { return net_; }
  size_t count() const { return position_; }
  ValueId output() const { return value_; }
  std::vector<ValueId> forward_inputs() const {
    std::vector<ValueId> in = {x_};
    add_parameters(in);
    return in;
  }
  std::vector<ValueId> training_inputs() const {
    std::vector<ValueId> in = {x_, targets_};
    add_parameters(in);
    if (loss_scale_ != no_value) in.push_back(loss_scale_);
    return in;
  }
  std::vector<ValueId> training_outputs() const {
    std::vector<ValueId> out = {metrics_};
    for (const Layer& layer : layers_) out.insert(out.end(), {layer.dw, layer.db});
    return out;
  }

 private:
  struct Layer {
    ValueId x = no_value, w = no_value, b = no_value, dw = no_value, db = no_value;
    const Node *relu = nullptr, *pool = nullptr;
  };

  std::span<const Node> nodes() const { return around_.nodes.first(position_); }
  size_t storage(ValueId id) const { return static_cast<size_t>(around_.graph.storage_of(id)); }

  // The next node, if it is an Op.
  template <class Op>
  const Op* peek(size_t further = 0) const {
    const size_t at = position_ + further;
    return at < around_.nodes.size() ? std::get_if<Op>(&around_.nodes[at].op) : nullptr;
  }
  const Node& next() const { return around_.nodes[position_]; }
  const Node& take() { return around_.nodes[position_++]; }
  // Whether the next node's first inputs are these, perhaps in other shapes.
  bool reads(std::initializer_list<ValueId> ids) const { return starts_with(next(), ids); }
  bool starts_with(const Node& node, std::initializer_list<ValueId> ids) const {
    return node.in.size() >= ids.size() &&
           std::equal(ids.begin(), ids.end(), node.in.begin(), [&](ValueId a, ValueId b) { return storage(a) == storage(b); });
  }

  // Takes the next node if it is an Op that reads the present value, which is then its output.
  template <class Op>
  const Op* read() {
    const Op* op = peek<Op>();
    if (op == nullptr || !reads({value_})) return nullptr;
    value_ = take().out[0];
    return op;
  }

  template <class Product>
  const Product* read_product(Layer& layer) {
    const Product* product = peek<Product>();
    if (product == nullptr || peek<BiasForward>(1) == nullptr || !is_small_float(product->types.x) || !reads({value_})) return nullptr;
    const Node &first = around_.nodes[position_], &second = around_.nodes[position_ + 1];
    if (!starts_with(second, {first.out[0]})) return nullptr;
    layer = {.x = value_, .w = first.in[1], .b = second.in[1]};
    net_.dtype = product->types.x;
    value_ = second.out[0];
    position_ += 2;
    return product;
  }

  bool read_conv() {
    if (!is_relu(peek<ActivationForward>(2))) return false;
    Layer layer;
    const Conv2dForward* conv = read_product<Conv2dForward>(layer);
    if (conv == nullptr) return false;
    layer.relu = &next();
    if (read<ActivationForward>() == nullptr) return false;
    SmallConv small{.shape = conv->shape};
    constexpr Window two_by_two = {.r = 2, .s = 2, .stride_h = 2, .stride_w = 2};
    const MaxPoolForward* pool = peek<MaxPoolForward>();
    if (pool != nullptr && pool->shape.window == two_by_two && pool->shape.rounding == Rounding::floor) {
      layer.pool = &next();
      small.pooling = Pooling::two_by_two;
      if (read<MaxPoolForward>() == nullptr) return false;
    }
    net_.convs.push_back(small);
    layers_.push_back(layer);
    return true;
  }

  bool read_linear() {
    Layer layer;
    const LinearForward* linear = read_product<LinearForward>(layer);
    if (linear == nullptr) return false;
    if (is_relu(peek<ActivationForward>())) layer.relu = &next();
    net_.linears.push_back({.shape = linear->shape});
    layers_.push_back(layer);
    return true;
  }

  bool read_loss() {
    const SoftmaxCrossEntropyBackward* gradient = peek<SoftmaxCrossEntropyBackward>(2);
    if (peek<SoftmaxCrossEntropyForward>() == nullptr || peek<Score>(1) == nullptr || gradient == nullptr || !reads({value_})) return false;
    const Node &loss = take(), &score = take(), &backward = take();
    targets_ = loss.in[1];
    if (!starts_with(score, {value_, targets_, loss.out[0]}) || !starts_with(backward, {value_, targets_})) return false;
    net_.loss = *gradient;
    metrics_ = score.out[0];
    if (gradient->scaling == Scaling::dynamic) loss_scale_ = backward.in[2];
    gradient_ = backward.out[0];
    return true;
  }

  bool read_pool_gradient(const Layer& layer) {
    const MaxPoolBackward* pool = peek<MaxPoolBackward>();
    if (pool == nullptr || pool->into == Into::add || !reads({gradient_, layer.pool->out[1]})) return false;
    gradient_ = take().out[0];
    return true;
  }
  bool read_relu_gradient(const Layer& layer) {
    const ActivationBackward* relu = peek<ActivationBackward>();
    if (!is_relu(relu) || relu->into == Into::add || !reads({layer.relu->out[0], gradient_})) return false;
    gradient_ = take().out[0];
    return true;
  }

  template <class Filter, class Data>
  bool read_filter_gradients(Layer& layer, auto& small, Into into_b, bool is_first) {
    const Filter* filter = peek<Filter>();
    if (filter == nullptr || !reads({layer.x, gradient_})) return false;
    small.into_b = into_b;
    small.into_w = filter->into;
    layer.dw = take().out[0];
    if (is_first) return true;
    const Data* data = peek<Data>();
    if (data == nullptr || data->into == Into::add || !reads({gradient_, layer.w})) return false;
    gradient_ = take().out[0];
    return true;
  }

  void add_parameters(std::vector<ValueId>& in) const {
    for (const Layer& layer : layers_) in.insert(in.end(), {layer.w, layer.b});
  }

  const Neighbours& around_;
  size_t position_ = 0;
  SmallNet net_;
  std::vector<Layer> layers_;
  ValueId x_ = no_value, targets_ = no_value, metrics_ = no_value, loss_scale_ = no_value;
  ValueId value_ = no_value, gradient_ = no_value;  // where the walk has got to
};

bool is_behind_the_data(const Neighbours& around) {
  const size_t number = static_cast<size_t>(around.nodes.data() - around.graph.nodes.data());
  return number > 0 && std::holds_alternative<Augment>(around.graph.nodes[number - 1].op);
}

std::optional<Claim> training(const Neighbours& around) {
  Reader reader(around);
  if (!reader.read_convs() || !reader.read_linears() || !reader.read_gradients() || !reader.keeps_to_itself(no_value)) return std::nullopt;
  KernelPtr kernel = small_net_training(reader.net());
  if (kernel == nullptr) return std::nullopt;
  return Claim{
      .nodes = reader.count(),
      .name = fmt::format("small_net({} conv2d, {} linear, loss, gradients)", reader.net().convs.size(), reader.net().linears.size()),
      .kernel = std::move(kernel),
      .in = reader.training_inputs(),
      .out = reader.training_outputs()};
}

std::optional<Claim> evaluation(const Neighbours& around) {
  Reader reader(around);
  if (!reader.read_convs() || reader.net().convs.size() < 2 || !reader.keeps_to_itself(reader.output())) return std::nullopt;
  KernelPtr kernel = small_net_forward(reader.net());
  if (kernel == nullptr) return std::nullopt;
  return Claim{.nodes = reader.count(),
               .name = fmt::format("small_net({} conv2d)", reader.net().convs.size()),
               .kernel = std::move(kernel),
               .in = reader.forward_inputs(),
               .out = {reader.output()}};
}

}  // namespace

std::optional<Claim> small_net_claim(const Neighbours& around) {
  if (!is_behind_the_data(around)) return std::nullopt;
  if (std::optional<Claim> claim = training(around)) return claim;
  return evaluation(around);
}

}  // namespace fovea::cuda
