#include "fovea/study/diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "fovea/backend/registry.h"
#include "fovea/base/error.h"
#include "fovea/study/bounds.h"
#include "fovea/study/places.h"
#include "fovea/train/session.h"
#include "fovea/train/step_graph.h"

namespace fovea::study {
namespace {

using graph::Node;
using graph::Role;
using graph::Type;
using graph::ValueId;

// A backend's plan, run step by step, and what lies in its memory at the moment.
class Side {
 public:
  Side(Backend& backend, const DiffJob& job) : backend_(backend), session_(assignment_of(backend, job), train::Switch::off) {
    const size_t channels = static_cast<size_t>(job.network.c);
    const train::Preprocessing preprocessing = {std::vector<float>(channels, 0.5f), std::vector<float>(channels, 0.25f)};
    const graph::Precision precision = require_precision(backend.name(), job.recipe.precision);
    graph::Graph graph = train::training_graph(job.network, job.recipe, preprocessing,
                                               {.images = job.images.count, .batch = job.recipe.batch, .precision = precision});
    values_ = graph.values.size();
    const std::vector<std::string> order = train::parameter_order(graph);
    session_.add(std::move(graph), order, job.images);
    session_.place();
    session_.write_weights(train::initial_weights(job.network, static_cast<uint64_t>(job.recipe.seed)));
    note_lifetimes();
  }

  void begin(const StepControl& control) {
    std::ranges::fill(written_, 0);
    session_.clear_metrics();
    session_.write_control(control);
  }

  const plan::Plan& plan() const { return session_.plan(0); }
  const std::vector<plan::Step>& steps() const { return plan().steps(); }
  std::string_view name() const { return backend_.name(); }

  // The node behind the last one that this step stands for.
  size_t end_of(size_t step) const {
    size_t end = steps()[step].first_node + steps()[step].nodes;
    while (end < plan().graph().nodes.size() && std::holds_alternative<Flatten>(plan().graph().nodes[end].op)) ++end;
    return end;
  }

  void run(size_t step) {
    steps()[step].kernel->run(session_.stream());
    session_.stream().synchronize();
    for (const ValueId id : steps()[step].out) written_[index(id)] = 1;
  }

  // Whether `id` holds, before `step`, what a step before has put there, or outlives the steps altogether.
  bool has_before(ValueId id, size_t step) const {
    if (plan().placement(id).where != plan::Placement::Where::arena || !is_plain(id)) return false;
    return plan().graph().value(storage(id)).role != Role::activation || (written_[index(id)] != 0 && last_[index(id)] >= step);
  }
  bool is_plain(ValueId id) const { return plain_[index(id)] != 0; }
  bool is_shared(ValueId id) const { return storage(id) < static_cast<ValueId>(values_); }  // not a copy that this plan alone has

  std::vector<std::byte> read(ValueId id) {
    const Tensor tensor = plan().tensor(storage(id));
    std::vector<std::byte> bytes(tensor.bytes());
    backend_.device().download(bytes.data(), tensor.data, bytes.size(), session_.stream());
    session_.stream().synchronize();
    return bytes;
  }
  void write(ValueId id, const std::vector<std::byte>& bytes) {
    backend_.device().upload(plan().tensor(storage(id)).data, bytes.data(), bytes.size(), session_.stream());
  }

  ValueId storage(ValueId id) const { return plan().graph().storage_of(id); }

 private:
  static plan::Assignment assignment_of(Backend& backend, const DiffJob& job) {
    return {.backend = &backend,
            .limits = {static_cast<int>(job.recipe.threads)},
            .claims = job.recipe.claims == train::Switch::on ? plan::Claims::on : plan::Claims::off};
  }
  size_t index(ValueId id) const { return static_cast<size_t>(storage(id)); }

  void note_lifetimes() {
    const size_t count = plan().graph().values.size();
    last_.resize(count), written_.resize(count), plain_.assign(count, 1);
    for (size_t i = 0; i < steps().size(); ++i) {
      const plan::Step& step = steps()[i];
      for (const ValueId id : step.in) last_[index(id)] = i;
      for (const ValueId id : step.out) last_[index(id)] = i;
      for (size_t j = 0; j < step.out.size(); ++j)
        if (step.kernel->output_layout(j) != Layout{}) plain_[index(step.out[j])] = 0;
    }
  }

  Backend& backend_;
  train::Session session_;
  size_t values_ = 0;                  // of the graph that both plans were made from
  std::vector<size_t> last_;           // step that touches it, by storage
  std::vector<char> written_, plain_;  // likewise
};

struct Range {
  size_t first = 0, last = 0;  // steps [first, last)
};

class Lockstep {
 public:
  Lockstep(Backend& a, Backend& b, const DiffJob& job)
      : job_(job), a_(a, job), b_(b, job), slack_(a.name() == "reference" || b.name() == "reference" ? 1 : 2) {}

  Diff run() {
    Diff result{std::string(a_.name()), std::string(b_.name()), {}, {}};
    for (int64_t step = 0; step < job_.steps; ++step) {
      const StepControl control = control_of(step);
      a_.begin(control);
      b_.begin(control);
      for (Range a, b; a.first < a_.steps().size() || b.first < b_.steps().size(); a.first = a.last, b.first = b.last) {
        advance(a, b);
        result.parts.push_back(run_part(a, b));
        result.parts.back().training_step = step;
      }
    }
    result.not_compared.assign(not_compared_.begin(), not_compared_.end());
    return result;
  }

 private:
  StepControl control_of(int64_t step) const {
    const int64_t count = job_.images.count, batch = job_.recipe.batch, batches = count / batch;
    StepControl control;
    control.seed = static_cast<uint64_t>(job_.recipe.seed);
    control.images = static_cast<uint64_t>(count);
    control.position = static_cast<uint64_t>(step % batches * batch);
    control.epoch = static_cast<uint32_t>(step / batches);
    control.step = static_cast<uint32_t>(step);
    control.learning_rate = static_cast<float>(job_.recipe.learning_rate);
    return control;
  }

  static size_t take(const Side& side, Range& range) {
    while (side.steps()[range.last].nodes == 0) ++range.last;  // what reorders for the step behind them
    return side.end_of(range.last++);
  }

  // The fewest steps of both that end at the same node.
  void advance(Range& a, Range& b) const {
    a.last = a.first, b.last = b.first;
    size_t end_a = take(a_, a), end_b = take(b_, b);
    while (end_a != end_b) {
      if (end_a < end_b)
        end_a = take(a_, a);
      else
        end_b = take(b_, b);
    }
  }

  static std::string what_of(const Side& side, const Range& range) {
    std::string text;
    for (size_t i = range.first; i < range.last; ++i) text += (text.empty() ? "" : ", ") + side.steps()[i].what;
    return text;
  }

  PartDiff run_part(const Range& a, const Range& b) {
    const size_t first_node = first_node_of(a_, a), end = a_.end_of(a.last - 1);
    const std::span<const Node> nodes = std::span(a_.plan().graph().nodes).subspan(first_node, end - first_node);
    const Contents before = copy_inputs(nodes, a, b);
    const Contents of_a = run_side(a_, a), of_b = run_side(b_, b);
    PartDiff part{0, nodes.front().name, what_of(a_, a), what_of(b_, b), {}};
    std::optional<Bounds> bounds;
    for (const auto& [id, bytes] : of_a) {
      if (!of_b.contains(id)) continue;
      if (!a_.is_plain(id) || !b_.is_plain(id)) {
        not_compared_.insert(a_.plan().graph().value(id).name);
        continue;
      }
      std::vector<std::byte> other = of_b.at(id);
      if (!bounds && bytes != other) bounds.emplace(a_.plan().graph(), nodes, before);
      if (bytes != other) settle_ties_of(id, nodes, of_a, *bounds, other);
      part.values.push_back(compare_value(id, bytes, other, bounds));
    }
    return part;
  }

  static size_t first_node_of(const Side& side, const Range& range) {
    size_t step = range.first;
    while (side.steps()[step].nodes == 0) ++step;
    return side.steps()[step].first_node;
  }

  // Gives `b` what its steps read and change as `a` has it, and returns what is known of what the nodes read and change.
  Contents copy_inputs(std::span<const Node> nodes, const Range& a, const Range& b) {
    std::set<ValueId> touched;
    const auto note = [&](const Side& side, const std::vector<ValueId>& ids) {
      for (const ValueId id : ids)
        if (side.is_shared(id)) touched.insert(side.storage(id));
    };
    for (const Node& node : nodes) note(a_, node.in), note(a_, node.out);
    for (size_t i = b.first; i < b.last; ++i) note(b_, b_.steps()[i].in), note(b_, b_.steps()[i].out);
    Contents before;
    for (const ValueId id : touched) {
      const bool in_a = a_.has_before(id, a.first), in_b = b_.has_before(id, b.first);
      if (!in_a && !in_b) continue;
      before[id] = in_a ? a_.read(id) : b_.read(id);
      if (in_a && in_b) b_.write(id, before[id]);
    }
    return before;
  }

  // What each of its steps wrote, last if several did.
  static Contents run_side(Side& side, const Range& range) {
    Contents written;
    for (size_t i = range.first; i < range.last; ++i) {
      side.run(i);
      for (const ValueId id : side.steps()[i].out)
        if (side.is_shared(id)) written[side.storage(id)] = side.read(id);
    }
    return written;
  }

  // Where one of the nodes pools what another one of them gives: its input is not the same bits on both sides.
  void settle_ties_of(ValueId id, std::span<const Node> nodes, const Contents& of_a, const Bounds& bounds,
                      std::vector<std::byte>& of_b) const {
    for (const Node& node : nodes) {
      const MaxPoolForward* pool = std::get_if<MaxPoolForward>(&node.op);
      if (pool == nullptr || node.out.size() < 2 || a_.storage(node.out[1]) != id) continue;
      const auto x = of_a.find(a_.storage(node.in[0]));
      if (x == of_a.end()) continue;
      const std::vector<float> values = floats_of(x->second, pool->types.x);
      std::vector<double> allowed = bounds.of(x->first, values);
      for (double& one : allowed) one *= slack_;
      settle_ties(pool->shape, values, allowed, of_a.at(id), of_b);
    }
  }

  ValueDiff compare_value(ValueId id, const std::vector<std::byte>& a, const std::vector<std::byte>& b,
                          const std::optional<Bounds>& bounds) const {
    const graph::Value& value = a_.plan().graph().value(id);
    if (a == b) return {value.name, value.shape, 0, {}};
    const Type type = {value.dtype, value.shape};
    if (value.role == Role::metrics) return compare_metrics(value.name, a, b, slack_ * bounds->relative_of(id));
    if (!is_floating(value.dtype)) return compare_exactly(value.name, type, a, b);
    std::vector<double> allowed = bounds->of(id, floats_of(a, value.dtype));
    for (double& one : allowed) one *= slack_;
    return compare(value.name, type, a, b, allowed);
  }

  const DiffJob& job_;
  Side a_, b_;
  double slack_;
  std::set<std::string> not_compared_;
};

}  // namespace

bool PartDiff::within() const {
  return std::all_of(values.begin(), values.end(), [](const ValueDiff& value) { return value.within(); });
}
bool PartDiff::same_bits() const {
  return std::all_of(values.begin(), values.end(), [](const ValueDiff& value) { return value.different == 0; });
}

std::string PartDiff::what() const { return what_a == what_b ? what_a : fmt::format("{} | {}", what_a, what_b); }

void require_within(const Diff& diff) {
  for (const PartDiff& part : diff.parts)
    for (const ValueDiff& value : part.values)
      if (!value.within())
        throw Error(ErrorId::backends_differ,
                    fmt::format("{} and {} differ first in layer `{}`, in {}", diff.a, diff.b, part.layer, part.what()))
            .note(fmt::format("`{}` {} in training step {}: {}", value.value, value.shape.text(), part.training_step, value.text()))
            .help("`fovea diff --all` shows every part; `--no-claims` tells a fused step from the operators in it");
}

Diff diff(Backend& a, Backend& b, const DiffJob& job) { return Lockstep(a, b, job).run(); }

}  // namespace fovea::study
