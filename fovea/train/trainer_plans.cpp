// The plans of a run, and the batch whose plans fit.
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "fovea/base/error.h"
#include "fovea/train/memory_limit.h"
#include "fovea/train/trainer.h"

namespace fovea::train {
namespace {

constexpr size_t left_to_others = 64 << 20;  // bytes of the device that a driver or another program may still take

}  // namespace

void Trainer::make_plans() {
  plan::Assignment assignment;
  assignment.backend = backend_.get();
  assignment.limits.threads = static_cast<int>(recipe_.threads);
  assignment.claims = recipe_.claims == Switch::on ? plan::Claims::on : plan::Claims::off;
  session_ = std::make_unique<Session>(assignment, recipe_.replay);
  const data::Images &train = data_.dataset.train, &test = data_.dataset.test;
  for (const data::Images* images : {&train, &test}) session_->hold(*images);
  if (data_.validation == Validation::split) session_->hold(data_.valid);

  const std::vector<std::string> order = parameter_order(graphs(recipe_.batch == automatic_batch ? train.count : recipe_.batch)[0]);
  settle_batch(order);
  std::vector<graph::Graph> all = graphs(recipe_.batch);
  size_t plans = 0;
  const auto add = [&](const data::Images& images) {
    session_->add(std::move(all[plans]), order, images);
    return plans++;
  };
  add(train);
  if (train.count % recipe_.batch > 0) remainder_plan_ = add(train);
  test_plan_ = valid_plan_ = add(test);
  if (data_.validation == Validation::split) valid_plan_ = add(data_.valid);
  session_->place();
}

// One for full batches, one for the last partial batch, and one for each set of images to evaluate on.
std::vector<graph::Graph> Trainer::graphs(int64_t batch) const {
  std::vector<graph::Graph> graphs;
  const int64_t images = data_.dataset.train.count;
  const auto add_training = [&](int64_t size) {
    graphs.push_back(
        training_graph(network_, recipe_, data_.preprocessing, {.images = images, .batch = size, .class_weights = data_.class_weights}));
  };
  add_training(batch);
  const std::vector<std::string> averaged = averaged_parameters(graphs[0]);
  if (images % batch > 0) add_training(images % batch);
  const auto add_evaluation = [&](const data::Images& part) {
    graphs.push_back(evaluation_graph(network_, data_.preprocessing, {.images = part.count, .batch = batch, .averaged = averaged}));
  };
  add_evaluation(data_.dataset.test);
  if (data_.validation == Validation::split) add_evaluation(data_.valid);
  return graphs;
}

// What the plans of a batch need is known before anything is allocated for them.
void Trainer::settle_batch(const std::vector<std::string>& order) {
  const size_t held = session_->held_bytes(), limit = memory_limit(recipe_.memory_limit);
  const size_t allowed = limit - std::min(limit, held), free = backend_->device().memory_status().free;
  const size_t room = std::min(allowed, free - std::min(free, left_to_others));
  const auto needed = [&](int64_t batch) { return plan::total(session_->arenas_of(graphs(batch), order)); };
  enum class Fit : uint8_t { yes, too_large, no_batch_of_this_network };
  const auto fit = [&](int64_t batch) {
    try {
      return needed(batch) <= room ? Fit::yes : Fit::too_large;
    } catch (const Error& error) {
      if (error.code() != ExitCode::config) throw;
      return Fit::no_batch_of_this_network;  // such as one that leaves a batch norm a single image
    }
  };
  const int64_t least = recipe_.micro_batches;
  int64_t refused = recipe_.batch;
  if (recipe_.batch == automatic_batch) {
    refused = least;
    for (auto size = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(data_.dataset.train.count))); size >= least; size /= 2) {
      const Fit one = fit(size);
      if (one == Fit::too_large) refused = size;
      if (one != Fit::yes) continue;
      recipe_.batch = size;
      recipe_.origin["batch"] = fmt::format("auto: the largest power of two that fits into {}", memory_text(room + held));
      return;
    }
  }
  const size_t need = needed(refused);
  if (need <= room) return;
  Error error(ErrorId::no_memory_for_plan,
              fmt::format("a batch of {} needs {} of memory on the device, but {} are {}", refused, memory_text(need + held),
                          memory_text(room + held), room == allowed ? "allowed by memory_limit" : "free"));
  error.note(fmt::format("{} of it hold the images, whatever the batch", memory_text(held)));
  int64_t largest = largest_batch({least, refused - 1}, [&](int64_t batch) { return fit(batch) != Fit::too_large; });
  while (largest >= least && fit(largest) != Fit::yes) --largest;
  if (largest < least) throw error.help("no batch fits: take a smaller network or another device, or allow more memory");
  throw error.help(fmt::format("the largest batch that fits is {0}: set batch = {0}, or split the batch with micro_batches", largest));
}

}  // namespace fovea::train
