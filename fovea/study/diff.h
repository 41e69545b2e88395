// Two backends on the same training steps, part by part: where their results first differ.
#pragma once

#include <string>
#include <vector>

#include "fovea/backend/backend.h"
#include "fovea/data/dataset.h"
#include "fovea/model/network.h"
#include "fovea/study/value_diff.h"
#include "fovea/train/recipe.h"

namespace fovea::study {

struct DiffJob {
  const model::Network& network;
  const train::Recipe& recipe;  // precision, batch, micro_batches, seed, claims, threads, optimiser, augmentation
  const data::Images& images;
  int64_t steps = 1;  // of training
};

// A step of each plan, or the fewest steps of both that stand for the same nodes of the graph.
struct PartDiff {
  int64_t training_step = 0;
  std::string layer;
  std::string what_a, what_b;  // "conv2d+bias+relu"; several steps are listed with a comma
  std::vector<ValueDiff> values;
  bool within() const;
  bool same_bits() const;
  std::string what() const;  // "conv2d_forward, bias_forward | conv2d+bias", or one of them where they are the same
};

struct Diff {
  std::string a, b;  // the backends
  std::vector<PartDiff> parts;
  std::vector<std::string> not_compared;  // values that one of the two keeps in a layout of its own
};

// Runs both from the same initial weights. Before each part, what it reads is copied from `a` to `b`, so that a difference is the work of
// this part alone; the tolerance is that of tolerance_of, twice where neither is the reference.
Diff diff(Backend& a, Backend& b, const DiffJob& job);

// Throws Error (target) that names the first part beyond tolerance, if there is one.
void require_within(const Diff& diff);

}  // namespace fovea::study
