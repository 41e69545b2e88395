#include "fovea/plan/layouts.h"

#include <fmt/format.h>

#include <set>
#include <tuple>

#include "fovea/base/error.h"

namespace fovea::plan {
namespace {

using graph::no_value;
using graph::ValueId;

class Layouts {
 public:
  Layouts(graph::Graph& graph, const Assignment& assignment) : graph_(graph), assignment_(assignment), of_value_(graph.values.size()) {}

  void append(Step step) {
    for (size_t i = 0; i < step.in.size(); ++i) step.in[i] = in_layout(step.in[i], step.kernel->input_layout(i), step);
    for (size_t i = 0; i < step.out.size(); ++i) note_output(step.out[i], step.kernel->output_layout(i), step);
    steps_.push_back(std::move(step));
  }

  std::vector<Step> take_steps() { return std::move(steps_); }
  std::vector<Layout> take_layouts() { return std::move(of_value_); }

 private:
  Layout& layout_of(ValueId id) { return of_value_[static_cast<size_t>(id)]; }

  void note_output(ValueId id, const Layout& layout, const Step& step) {
    const ValueId storage = graph_.storage_of(id);
    const bool written_before = written_.contains(storage);
    if (written_before && layout_of(storage) != layout)
      throw Error(ExitCode::internal, fmt::format("step `{}` ({}) adds to `{}` in layout {}, but it lies in layout {}", step.name,
                                                  step.what, graph_.value(storage).name, layout.tag, layout_of(storage).tag));
    written_.insert(storage);
    layout_of(storage) = layout;
  }

  // The value as the consumer wishes it: itself, or a reordered copy that is made once and shared by all who wish the same.
  ValueId in_layout(ValueId id, const Layout& wish, const Step& consumer) {
    const ValueId storage = graph_.storage_of(id);
    const Layout from = layout_of(storage);
    if (from == wish) return id;
    const auto key = std::make_tuple(storage, wish.tag, wish.bytes);
    const auto known = copies_.find(key);
    const ValueId copy = known != copies_.end() ? known->second : reorder({storage, id}, from, wish, consumer);
    copies_[key] = copy;
    if (id == storage) return copy;
    graph::Value view = graph_.value(id);
    view.name += "." + wish.tag;
    view.view_of = copy;
    return add_value(std::move(view), wish);
  }

  // The same memory twice; where a flatten stands between, only one of them has the axes of an image.
  struct Source {
    ValueId storage, seen;
  };

  ValueId reorder(const Source& from, const Layout& layout, const Layout& wish, const Step& consumer) {
    graph::Value value = graph_.value(from.storage);
    const Reorder op = {value.shape.rank() == 4 ? value.shape : graph_.value(from.seen).shape, layout.tag, wish.tag, value.dtype};
    value.name += "." + wish.tag;
    const ValueId copy = add_value(std::move(value), wish);
    Backend& backend = assignment_.of({op, consumer.name, {}, {}});
    Step step{consumer.name,  "reorder", std::string(backend.name()),         consumer.micro_batch, 0,
              {from.storage}, {copy},    backend.make(op, assignment_.limits)};
    steps_.push_back(std::move(step));
    return copy;
  }

  ValueId add_value(graph::Value value, const Layout& layout) {
    of_value_.push_back(layout);
    return graph_.add_value(std::move(value));
  }

  graph::Graph& graph_;
  const Assignment& assignment_;
  std::vector<Layout> of_value_;
  std::set<ValueId> written_;
  std::map<std::tuple<ValueId, std::string, size_t>, ValueId> copies_;
  std::vector<Step> steps_;
};

}  // namespace

std::vector<Layout> settle_layouts(graph::Graph& graph, std::vector<Step>& steps, const Assignment& assignment) {
  Layouts layouts(graph, assignment);
  for (Step& step : steps) layouts.append(std::move(step));
  steps = layouts.take_steps();
  return layouts.take_layouts();
}

}  // namespace fovea::plan
