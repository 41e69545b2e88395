// The plans of a run, and the batch whose plans fit.
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "fovea/backend/registry.h"
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
  assignment.dependent_launches = recipe_.dependent_launch == Switch::on ? DependentLaunches::on : DependentLaunches::off;
  autotune_->apply_to(assignment);
  session_ = std::make_unique<Session>(assignment, recipe_.replay);
  const data::Images &train = data_->dataset.train, &test = data_->dataset.test;
  for (const data::Images* images : {&train, &test}) session_->hold(*images);
  if (data_->validation == Validation::split) session_->hold(data_->valid);

  const bool automatic = recipe_.batch == automatic_batch;
  const std::vector<std::string> order = parameter_order(graphs(automatic ? train.count : recipe_.batch)[0]);
  const Room room = room_for_plans();
  if (automatic) choose_batch(order, room);
  try {
    add_plans(order);
  } catch (const Error& error) {
    if (error.code() != ExitCode::memory) throw;  // of what is measured
    if (const size_t needed = session_->arena_bytes_of(graphs(recipe_.batch), order); needed > room.bytes)
      refuse_batch(needed, order, room);
    throw;
  }
  while (automatic && session_->arena_bytes() > room.bytes && recipe_.batch / 2 >= recipe_.micro_batches &&
         fit(recipe_.batch / 2, order, room) == Fit::yes) {  // what is faster may be larger
    session_->drop_plans();
    recipe_.batch /= 2;
    add_plans(order);
  }
  if (session_->arena_bytes() > room.bytes) refuse_batch(session_->arena_bytes(), order, room);
  session_->place();
}

void Trainer::add_plans(const std::vector<std::string>& order) {
  const data::Images &train = data_->dataset.train, &test = data_->dataset.test;
  remainder_plan_ = 0;
  std::vector<graph::Graph> all = graphs(recipe_.batch);
  size_t plans = 0;
  const auto add = [&](const data::Images& images) {
    session_->add(std::move(all[plans]), order, images);
    return plans++;
  };
  add(train);
  if (train.count % recipe_.batch > 0) remainder_plan_ = add(train);
  test_plan_ = valid_plan_ = add(test);
  if (data_->validation == Validation::split) valid_plan_ = add(data_->valid);
}

// One for full batches, one for the last partial batch, and one for each set of images to evaluate on.
std::vector<graph::Graph> Trainer::graphs(int64_t batch, const Recipe& recipe) const {
  std::vector<graph::Graph> graphs;
  const int64_t images = data_->dataset.train.count;
  const graph::Precision precision = require_precision(recipe.backend, recipe.precision);
  const auto add_training = [&](int64_t size) {
    graphs.push_back(training_graph(network_, recipe, data_->preprocessing,
                                    {.images = images, .batch = size, .precision = precision, .class_weights = data_->class_weights}));
  };
  add_training(batch);
  const std::vector<std::string> averaged = averaged_parameters(graphs[0]);
  if (images % batch > 0) add_training(images % batch);
  const auto add_evaluation = [&](const data::Images& part) {
    graphs.push_back(evaluation_graph(network_, data_->preprocessing,
                                      {.images = part.count, .batch = batch, .precision = precision, .averaged = averaged}));
  };
  add_evaluation(data_->dataset.test);
  if (data_->validation == Validation::split) add_evaluation(data_->valid);
  return graphs;
}

Trainer::Room Trainer::room_beside(size_t held) const {
  const size_t limit = memory_limit(recipe_.memory_limit);
  const size_t allowed = limit - std::min(limit, held), free = backend_->device().memory_status().free;
  const size_t left = free - std::min(free, left_to_others);
  return {std::min(allowed, left), allowed <= left ? "allowed by memory_limit" : "free"};
}

Trainer::Room Trainer::room_for_plans() const { return room_beside(session_->held_bytes()); }

std::string Trainer::no_room_to_move() const {
  const Room room = room_beside(session_->bytes());
  if (session_->arena_bytes() <= room.bytes) return "";
  return fmt::format("it lies there twice while it moves, but only {} more are {}", memory_text(room.bytes), room.why);
}

Trainer::Fit Trainer::fit(int64_t batch, const std::vector<std::string>& order, const Room& room) const {
  try {
    return session_->arena_bytes_of(graphs(batch), order) <= room.bytes ? Fit::yes : Fit::too_large;
  } catch (const Error& error) {
    if (error.code() != ExitCode::config) throw;
    return Fit::no_batch_of_this_network;  // such as one that leaves a batch norm a single image
  }
}

void Trainer::choose_batch(const std::vector<std::string>& order, const Room& room) {
  const int64_t least = recipe_.micro_batches;
  recipe_.batch = least;
  for (auto size = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(data_->dataset.train.count))); size >= least; size /= 2) {
    const Fit found = fit(size, order, room);
    if (found != Fit::no_batch_of_this_network) recipe_.batch = size;  // the smallest, if none fits: it will be refused
    if (found == Fit::yes) break;
  }
  recipe_.origin["batch"] =
      fmt::format("auto: the largest power of two that fits into {}", memory_text(room.bytes + session_->held_bytes()));
}

// A remedy, where the same batch fits with it.
std::string Trainer::fits_with_recompute(const std::vector<std::string>& order, const Room& room) const {
  if (recipe_.recompute == Switch::on) return "";
  Recipe recipe = recipe_;
  recipe.recompute = Switch::on;
  const size_t needed = session_->arena_bytes_of(graphs(recipe.batch, recipe), order);
  if (needed > room.bytes) return "";
  return fmt::format("recompute = true, with which a batch of {} needs {} and fits", recipe.batch,
                     memory_text(needed + session_->held_bytes()));
}

void Trainer::refuse_batch(size_t needed, const std::vector<std::string>& order, const Room& room) const {
  const size_t held = session_->held_bytes();
  Error error(ErrorId::no_memory_for_plan, fmt::format("a batch of {} needs {} of memory on the device, but {} are {}", recipe_.batch,
                                                       memory_text(needed + held), memory_text(room.bytes + held), room.why));
  error.note(fmt::format("{} of it hold the images, whatever the batch", memory_text(held)));
  const int64_t least = recipe_.micro_batches;
  int64_t largest = largest_batch({least, recipe_.batch - 1}, [&](int64_t batch) { return fit(batch, order, room) != Fit::too_large; });
  while (largest >= least && fit(largest, order, room) != Fit::yes) --largest;
  const std::string with_recompute = fits_with_recompute(order, room);
  if (largest < least) {
    error.help(with_recompute.empty() ? "no batch fits: take a smaller network or another device, or allow more memory"
                                      : "set " + with_recompute);
    throw BatchTooLarge(error, needed + held, 0);
  }
  error.help(fmt::format("the largest batch that fits is {0}: set batch = {0}, or split the batch with micro_batches{1}", largest,
                         with_recompute.empty() ? "" : ", or set " + with_recompute));
  throw BatchTooLarge(error, needed + held, largest);
}

}  // namespace fovea::train
