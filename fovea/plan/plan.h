// A flat vector of steps over planned memory: what training, evaluation and the last partial batch run.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "fovea/backend/backend.h"
#include "fovea/plan/arena.h"

namespace fovea::plan {

struct Step {
  std::string name;     // of the layer: "conv1"
  std::string what;     // operator or claim: "conv2d_forward", "conv2d+bias+relu"
  std::string backend;  // that was asked; kernel->provider() is the one that answered
  int micro_batch = 0;
  int64_t macs = 0;
  std::vector<graph::ValueId> in, out;
  KernelPtr kernel;
  size_t first_node = 0, nodes = 0;             // of the graph that this step stands for; none for a reorder
  size_t workspace_offset = 0;                  // in the arena of the activations
  std::optional<Tuning::Choice> measured = {};  // where others could have taken these nodes
};

struct Placement {
  enum class Where : uint8_t { nowhere, arena, data_set } where = Where::nowhere;  // nowhere: a claim keeps it inside its step
  Arena arena = Arena::activations;
  size_t offset = 0, bytes = 0;
};

// The images and labels that a plan gathers from.
struct DeviceImages {
  void* pixels = nullptr;
  void* labels = nullptr;
};

// By how many images a run moves the control on; 0: it stays as it is.
int64_t images_moved_on(const graph::Graph& graph);

// Whether runs of these steps may follow each other with nothing between them: they need no other control, and are few. The first step of
// one may then begin with the last step of the one before still under way, which touches nothing that the first one writes.
bool repeats(const graph::Graph& graph, std::span<const Step> steps);

class Plan {
 public:
  Plan(graph::Graph graph, std::vector<Step> steps, std::vector<Placement> placements, ArenaBytes bytes);

  const graph::Graph& graph() const { return graph_; }
  const std::vector<Step>& steps() const { return steps_; }
  const Placement& placement(graph::ValueId id) const { return placements_[static_cast<size_t>(graph_.storage_of(id))]; }
  const ArenaBytes& arena_bytes() const { return arena_bytes_; }
  int64_t macs() const;
  size_t bytes_of(const Step& step) const;  // read and written

  void bind(const ArenaMemory& memory, const DeviceImages& images);  // again where the memory has moved
  Tensor tensor(graph::ValueId id) const;                            // after bind
  Tensor tensor(std::string_view name) const;

  int64_t images_moved_on() const { return plan::images_moved_on(graph_); }
  bool repeats() const { return plan::repeats(graph_, steps_); }

  void run(Stream& stream, int64_t times = 1);
  void run_timed(Stream& stream, std::span<double> seconds);  // adds the seconds of each step; waits after each

 private:
  graph::Graph graph_;
  std::vector<Step> steps_;
  std::vector<Placement> placements_;
  ArenaBytes arena_bytes_;
  std::vector<std::byte*> addresses_;  // by value
};

}  // namespace fovea::plan
