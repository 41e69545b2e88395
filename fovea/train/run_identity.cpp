#include "fovea/train/run_identity.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "fovea/base/error.h"
#include "fovea/base/sha256.h"

namespace fovea::train {
namespace {

// Settings that leave the result as it is, and places of what the identity itself holds.
constexpr const char* free_keys[] = {"out",  "save_every", "threads",          "replay", "memory_limit",
                                     "data", "model",      "dependent_launch", "tuning"};

}  // namespace

RunIdentity run_identity(const Recipe& recipe, const model::Network& network, const TrainingData& data) {
  RunIdentity identity = recipe_values(recipe);
  for (const char* key : free_keys) identity.erase(key);
  if (recipe.autotune == Recipe().autotune) identity.erase("autotune");     // which checkpoints from before it do not name
  if (recipe.recompute == Recipe().recompute) identity.erase("recompute");  // likewise
  const data::Images& images = data.dataset.train;
  identity["the network"] = network.text;
  identity["the data set"] = data.dataset.title;
  identity["the classes"] = fmt::format("{}", fmt::join(data.dataset.classes, ", "));
  identity["the images"] =
      fmt::format("{} to train on and {} to test on, of {} x {} x {}", images.count, data.dataset.test.count, images.h, images.w, images.c);
  identity["the mean pixel"] = fmt::format("{}", fmt::join(data.preprocessing.mean, ", "));
  identity["the deviation of pixels"] = fmt::format("{}", fmt::join(data.preprocessing.deviation, ", "));
  identity["the labels"] = "SHA-256 " + sha256(std::as_bytes(std::span(images.labels)));
  return identity;
}

void check_same_run(const RunIdentity& saved, const RunIdentity& run, const std::string& file) {
  const auto value_in = [](const RunIdentity& identity, const std::string& key) {
    const auto found = identity.find(key);
    return found == identity.end() ? std::string("nothing") : found->second;
  };
  RunIdentity keys = saved;
  keys.insert(run.begin(), run.end());
  for (const auto& [key, any] : keys) {
    const std::string before = value_in(saved, key), now = value_in(run, key);
    if (before == now) continue;
    Error error(ErrorId::foreign_checkpoint, fmt::format("the checkpoint is of another run: its `{}` is not that of this one", key));
    error.at(file);
    constexpr size_t short_enough = 80;
    if (before.size() < short_enough && now.size() < short_enough) error.note(fmt::format("saved: {}; now: {}", before, now));
    throw error.help("restore what the run was started with, or start another one with another --out");
  }
}

}  // namespace fovea::train
