// Which values are computed again, out of what, and where the nodes for it go.
#include "fovea/graph/recompute.h"

#include <algorithm>
#include <limits>
#include <string>

#include "fovea/base/error.h"

namespace fovea::graph {
namespace {

constexpr int64_t least_share = 2048;  // of the bytes alive at most: smaller values are not worth a pass
constexpr size_t never = std::numeric_limits<size_t>::max();

template <class... Some>
bool is_any(const Node& node) {
  return (std::holds_alternative<Some>(node.op) || ...);
}

// Passes over memory that draw nothing at random.
bool is_cheap(const Node& node) {
  return is_any<BatchNormForward, ActivationForward, Add, BiasForward, ConcatForward, ShortcutForward>(node);
}

bool is_filter_gradient(const Node& node) { return is_any<Conv2dBackwardFilter, LinearBackwardFilter>(node); }

// Whether backends may take both as one step.
bool are_joined(const Node& before, const Node& node) {
  if (is_any<ActivationBackward>(node)) return is_any<Conv2dBackwardData, LinearBackwardData, MaxPoolBackward, AvgPoolBackward>(before);
  if (is_any<BatchNormBackward>(node)) return is_any<ActivationBackward, BatchNormBackward>(before);
  if (is_any<BiasBackward>(node)) return is_any<ActivationBackward>(before);
  if (is_filter_gradient(node)) return is_any<BiasBackward>(before);
  return is_any<Conv2dBackwardData, LinearBackwardData>(node) && is_filter_gradient(before);
}

class Recomputation {
 public:
  Recomputation(Graph& graph, const Passes& passes)
      : graph_(graph), passes_(passes), uses_(graph.values.size()), again_(graph.values.size(), no_value) {
    note_uses();
    note_live_bytes();
    for (size_t i = passes_.forward; i < passes_.backward; ++i)
      if (is_cheap(graph_.nodes[i])) use_of(graph_.nodes[i].out[0]).chosen = is_worth_it(graph_.nodes[i].out[0]);
    add_nodes();
  }

 private:
  // Of a value that owns its memory; places of nodes, `never` where there is none.
  struct Use {
    size_t writer = never, last_forward_read = never, last_read = never;
    size_t first_needed = never;  // by a gradient
    bool chosen = false;
  };

  Use& use_of(ValueId id) { return uses_[static_cast<size_t>(graph_.storage_of(id))]; }
  bool is_activation(ValueId id) const { return graph_.value(id).role == Role::activation; }

  // What no gradient needs is computed again where something behind it is.
  bool is_between(const Use& use) const { return use.first_needed == never && use.writer != never && is_cheap(graph_.nodes[use.writer]); }

  void note_uses() {
    for (size_t i = passes_.forward; i < graph_.nodes.size(); ++i) {
      const Node& node = graph_.nodes[i];
      if (is_any<Flatten>(node)) continue;
      for (const ValueId id : node.in) {
        Use& use = use_of(id);
        use.last_read = i;
        if (i < passes_.backward)
          use.last_forward_read = i;
        else if (use.first_needed == never && !is_mask_of_norm(i, id))
          use.first_needed = i;
      }
      // Statistics of a batch norm and places of maxima have no writer that could be repeated.
      if (Use& use = use_of(node.out[0]); use.writer == never && i < passes_.backward) use.writer = i;
    }
  }

  // Whether node i is the gradient of a rectifier that is the only thing behind a batch norm whose own gradient is next: backends take both
  // as one step, which tells from the norm's input where the rectifier's output is above 0.
  bool is_mask_of_norm(size_t i, ValueId id) {
    const auto* relu = std::get_if<ActivationBackward>(&graph_.nodes[i].op);
    if (relu == nullptr || relu->activation != Activation::relu || i + 1 == graph_.nodes.size()) return false;
    const Node &node = graph_.nodes[i], &next = graph_.nodes[i + 1];
    const Use& use = use_of(id);
    if (use.writer == never || !is_any<BatchNormBackward>(next) || next.in[1] != node.out[0]) return false;
    const Use& normed = use_of(graph_.nodes[use.writer].in[0]);
    return normed.writer != never && is_any<BatchNormForward>(graph_.nodes[normed.writer]) &&
           graph_.nodes[normed.writer].in[0] == next.in[0];
  }

  int64_t bytes_of_value(ValueId id) const {
    const Value& value = graph_.value(id);
    return value.shape.elements() * static_cast<int64_t>(bytes_of(value.dtype));
  }

  // While each node runs, as if every node were a step.
  void note_live_bytes() {
    const size_t end = graph_.nodes.size();
    std::vector<size_t> first(graph_.values.size(), never), last(graph_.values.size(), 0);
    for (size_t i = passes_.forward; i < end; ++i)
      for (const std::vector<ValueId>* ids : {&graph_.nodes[i].in, &graph_.nodes[i].out})
        for (const ValueId id : *ids) {
          const auto storage = static_cast<size_t>(graph_.storage_of(id));
          first[storage] = std::min(first[storage], i);
          last[storage] = i;
        }
    live_bytes_.assign(end + 1, 0);
    for (size_t id = 0; id < first.size(); ++id) {
      if (first[id] == never || !is_activation(static_cast<ValueId>(id))) continue;
      const int64_t bytes = bytes_of_value(static_cast<ValueId>(id));
      live_bytes_[first[id]] += bytes;
      live_bytes_[last[id] + 1] -= bytes;
    }
    for (size_t i = 1; i <= end; ++i) live_bytes_[i] += live_bytes_[i - 1];
    least_bytes_ = *std::max_element(live_bytes_.begin(), live_bytes_.end()) / least_share;
  }

  bool is_worth_it(ValueId id) {
    const Use& use = use_of(id);
    if (use.first_needed == never || use.last_forward_read == never || bytes_of_value(id) < least_bytes_) return false;
    return frees_memory(use, bytes_of_value(id)) && has_sources(use.writer, start_of_run(use.first_needed));
  }

  // Whether it takes at least half of the value off the most that is alive from the last node that reads it to the first that needs it:
  // while these two run it is there anyway.
  bool frees_memory(const Use& use, int64_t bytes) const {
    const auto first = live_bytes_.begin() + static_cast<std::ptrdiff_t>(use.last_forward_read),
               last = live_bytes_.begin() + static_cast<std::ptrdiff_t>(use.first_needed);
    return std::any_of(first, last, [anyway = std::max(*first, *last), bytes](int64_t live) { return live >= anyway + bytes / 2; });
  }

  enum class Through : uint8_t { between, chosen };

  // The nodes that have to be repeated for this one, itself included, in the order of the forward pass.
  std::vector<size_t> repeated(size_t writer, Through through) {
    std::vector<size_t> nodes = {writer};
    for (size_t at = 0; at < nodes.size(); ++at)
      for (const ValueId id : graph_.nodes[nodes[at]].in) {
        const Use& use = use_of(id);
        const bool is_repeated = is_between(use) || (use.chosen && through == Through::chosen);
        if (is_repeated && !has_again(id) && std::find(nodes.begin(), nodes.end(), use.writer) == nodes.end()) nodes.push_back(use.writer);
      }
    std::sort(nodes.begin(), nodes.end());
    return nodes;
  }

  // Of a node that repeats this one. A batch norm takes the statistics of the batch.
  static std::vector<ValueId> read_by_repetition_of(const Node& node) {
    std::vector<ValueId> in = node.in;
    if (is_any<BatchNormForward>(node)) in.insert(in.end(), node.out.begin() + 1, node.out.end());
    return in;
  }

  // Whether all that node `writer` can be repeated from is there at `place` without being kept for it.
  bool has_sources(size_t writer, size_t place) {
    const auto is_there = [&](ValueId id) {
      const Use& use = use_of(id);
      return !is_activation(graph_.storage_of(id)) || use.chosen || is_between(use) || (use.last_read != never && use.last_read >= place);
    };
    const std::vector<size_t> nodes = repeated(writer, Through::between);
    return std::all_of(nodes.begin(), nodes.end(), [&](size_t i) {
      const std::vector<ValueId> in = read_by_repetition_of(graph_.nodes[i]);
      return std::all_of(in.begin(), in.end(), is_there);
    });
  }

  // The place before node i where no two nodes are parted that are joined: not farther up than the layer before.
  size_t start_of_run(size_t i) const {
    const size_t reader = i;
    const auto goes_on = [&] { return i == reader || !is_filter_gradient(graph_.nodes[i]); };
    while (i > passes_.backward + 1 && are_joined(graph_.nodes[i - 1], graph_.nodes[i]) && goes_on()) --i;
    return i;
  }

  void add_nodes() {
    std::vector<Node> gradients(graph_.nodes.begin() + static_cast<std::ptrdiff_t>(passes_.backward), graph_.nodes.end());
    std::vector<std::pair<size_t, Node>> added;  // with the places of the gradients that they are before
    for (size_t i = 0; i < gradients.size(); ++i)
      for (ValueId& id : gradients[i].in) {
        if (use_of(id).chosen && !has_again(id))
          for (const size_t node : repeated(use_of(id).writer, Through::chosen))
            added.emplace_back(start_of_run(passes_.backward + i) - passes_.backward, repetition_of(graph_.nodes[node]));
        if (has_again(id)) id = again(id);
      }
    graph_.nodes.resize(passes_.backward);
    auto next = added.begin();
    for (size_t i = 0; i < gradients.size(); ++i) {
      for (; next != added.end() && next->first == i; ++next) graph_.nodes.push_back(std::move(next->second));
      graph_.nodes.push_back(std::move(gradients[i]));
    }
    if (next != added.end()) throw Error(ExitCode::internal, "a node that computes again has no place in front of what reads it");
  }

  Node repetition_of(const Node& node) {
    Node repetition = {node.op, node.name + std::string(again_suffix), read_by_repetition_of(node), {}, node.micro_batch};
    if (const auto* norm = std::get_if<BatchNormForward>(&node.op))
      repetition.op = BatchNormInference{norm->rows, norm->c, norm->epsilon, norm->types};
    for (ValueId& id : repetition.in)
      if (has_again(id)) id = again(id);
    repetition.out = {add_again(node.out[0], no_value)};
    return repetition;
  }

  bool has_again(ValueId id) const { return again_[static_cast<size_t>(graph_.storage_of(id))] != no_value; }

  // In the shape that `id` has.
  ValueId again(ValueId id) {
    const ValueId done = again_[static_cast<size_t>(id)];
    return done != no_value ? done : add_again(id, again(graph_.value(id).view_of));
  }

  ValueId add_again(ValueId id, ValueId view_of) {
    Value value = graph_.value(id);
    value.name += again_suffix;
    value.view_of = view_of;
    return again_[static_cast<size_t>(id)] = graph_.add_value(std::move(value));
  }

  Graph& graph_;
  const Passes passes_;
  std::vector<Use> uses_;            // by value
  std::vector<ValueId> again_;       // likewise: the value that stands for it
  std::vector<int64_t> live_bytes_;  // by node
  int64_t least_bytes_ = 0;
};

}  // namespace

std::string_view layer_of(const Node& node) {
  std::string_view name = node.name;
  if (name.ends_with(again_suffix)) name.remove_suffix(again_suffix.size());
  return name;
}

void compute_again(Graph& graph, const Passes& passes) { Recomputation(graph, passes); }

}  // namespace fovea::graph
