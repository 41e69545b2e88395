// What a run holds on its device: the images, the arenas, and the plans that share them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fovea/data/dataset.h"
#include "fovea/io/safetensors.h"
#include "fovea/model/network.h"
#include "fovea/plan/compile.h"
#include "fovea/plan/inspect.h"
#include "fovea/train/recipe.h"

namespace fovea::train {

struct StateTensor {
  std::string name;
  std::vector<std::byte> bytes;
};

class Session {
 public:
  // `replay`: whether plans are recorded once and replayed, where the device can do that. The backend has to outlive the session.
  explicit Session(plan::Assignment assignment, Switch replay = Switch::on);

  void hold(const data::Images& images);  // puts them on the device; they have to outlive the session
  size_t held_bytes() const;              // of images
  // Of the arenas that plans of these graphs would share, nothing being measured for them.
  size_t arena_bytes_of(std::vector<graph::Graph> graphs, const std::vector<std::string>& order) const;

  // Adds a plan that gathers from `images`, which have to outlive the session. `order`: see train::parameter_order; the same for all plans.
  void add(graph::Graph graph, const std::vector<std::string>& order, const data::Images& images);
  size_t arena_bytes() const;  // that these plans will share
  void drop_plans();           // that are not placed yet
  void place();                // allocates the arenas that all plans share, binds the plans and records them; throws Error (memory)
  // All arenas at other addresses, with the same content, and the plans bound anew. On the host, where no plan is recorded. Where it
  // throws, such as Error (memory), all is as it was.
  void relocate();
  // With the control as it was written, and moved on since by what has run.
  void run(size_t plan, int64_t steps = 1);
  int64_t most_at_once(size_t plan) const;                      // steps that take less time together than one by one; 1: none
  std::optional<plan::NonFinite> find_non_finite(size_t plan);  // runs it once more, and where a step is of several layers, layer by layer

  plan::Plan& plan(size_t i) {
    device_has_control_ = false;  // what is run without the session may move it on
    return plans_[i];
  }
  const plan::Plan& plan(size_t i) const { return plans_[i]; }
  Stream& stream() { return *stream_; }
  size_t launches(size_t plan) const;  // kernels, copies and fills of a recorded plan; 0 if it is not recorded
  size_t bytes() const;                // of images and arenas: all that the session holds on its device

  void write_control(const StepControl& control);  // where the device does not hold it already
  void clear_metrics();
  Metrics read_metrics();  // waits for what is enqueued
  void write_metrics(const Metrics& metrics);

  // With a weight its working copy is written, too.
  // Where the first plan averages a parameter over the steps, both take the weight, and what is read is the average.
  void write_weights(const std::vector<io::NamedTensor>& weights);
  std::vector<io::NamedTensor> read_weights(const model::Network& network);  // in the network's order

  // All that a step leaves to the next one: weights, running statistics, moments, averages. Reading waits for what is enqueued; writing
  // throws Error (data) unless these are the same tensors.
  std::vector<StateTensor> read_state();
  void write_state(const std::vector<StateTensor>& state);
  size_t state_bytes() const;

 private:
  struct Resident {
    const data::Images* images = nullptr;
    std::unique_ptr<Memory> pixels, labels;
  };
  plan::ArenaBytes arenas() const;
  plan::Assignment unmeasured() const;  // for plans that nothing is measured for
  const Resident& resident(const data::Images& images);
  void write_working_copy(const std::string& parameter, DType dtype, std::span<const std::byte> bytes);  // if it has one
  graph::ValueId average_of(const std::string& parameter) const;                                         // no_value if it has none
  std::vector<graph::ValueId> lasting_values() const;

  plan::Assignment assignment_;
  std::vector<std::string> order_;  // of the parameters
  Device& device_;
  std::unique_ptr<Stream> stream_;
  std::vector<Resident> residents_;
  Switch replay_;
  std::vector<plan::Plan> plans_;
  struct Recorded {
    int64_t steps = 1;
    std::unique_ptr<Recording> recording;
  };
  std::vector<Recorded> recorded(plan::Plan& plan);
  std::vector<std::vector<Recorded>> recordings_;  // by plan, most steps first; none: runs step by step
  StepControl control_;                            // as it was written, moved on since by what has run
  bool device_has_control_ = false;                // because the last run has moved it on
  std::vector<plan::DeviceImages> images_of_plan_;
  std::unique_ptr<plan::ArenaMemory> memory_;
};

struct Scores {
  double loss = 0, accuracy = 0;
  int64_t counted = 0;
};
Scores scores_of(const Metrics& metrics);

// Runs an evaluation plan of `batch` images over all `count` stored images. Throws Error (numeric) if a loss is NaN or infinite.
// `after_batch` may throw to end it.
Scores evaluate(
    Session& session, size_t plan, int64_t count, int64_t batch, const std::function<void()>& after_batch = [] {});

// Drawn on the host, in the network's order.
std::vector<io::NamedTensor> initial_weights(const model::Network& network, uint64_t seed);

// The same weights without and with their types and shapes, in the network's order. Throws Error (data) where they are not the network's.
std::vector<StateTensor> bytes_of(const std::vector<io::NamedTensor>& weights);
std::vector<io::NamedTensor> tensors_of(const std::vector<StateTensor>& weights, const model::Network& network);

std::string weights_sha256(const std::vector<io::NamedTensor>& weights);  // of their bytes, one after another

}  // namespace fovea::train
