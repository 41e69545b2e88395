// An experiment: data, network and training settings, from a recipe file, from flags, or both (flags win).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "fovea/graph/op.h"
#include "fovea/model/network.h"

namespace fovea::train {

enum class Switch : uint8_t { off, on };
inline constexpr int64_t automatic_batch = 0;
inline constexpr const char* comparison_table = "compare";  // of a recipe file: read by study::read_comparison alone

// What weighs the losses of the classes against each other: nothing, 1 / (classes * share of the training images), or given numbers.
struct ClassWeights {
  enum class Kind : uint8_t { none, balanced, given } kind = Kind::none;
  std::vector<double> given = {};  // by label
};

// A [[tensors]] table: what parameters whose names match get in the place of the recipe's own settings. Of two tables that match, the
// later wins, key by key.
struct TensorRule {
  std::string match;  // * stands for any letters, ? for one: "conv1.*"
  std::optional<double> rate_scale, decay;
  std::optional<Switch> frozen;
  std::string file = {};  // where it stands
  int line = 0;
};

// Every member but `tensors` is a key of the recipe file and a flag of `fovea train`; recipe.cpp describes each.
struct Recipe {
  std::string model;
  std::string data;
  std::string backend;  // empty: the fastest that this machine has
  std::string precision = "fp32";
  int64_t threads = 0;  // 0: one for each core that the process may use
  int64_t epochs = 1;
  int64_t batch = 64;  // automatic_batch: as large a power of two as fits
  int64_t micro_batches = 1;
  int64_t seed = 1;
  std::string out;
  std::string memory_limit;  // empty: what the device has free

  std::string optimizer = "sgd";
  double learning_rate = 0.01;
  double momentum = 0;
  Switch nesterov = Switch::off;
  double weight_decay = 0;
  std::string decay_on = "all";
  double beta1 = 0.9, beta2 = 0.999, alpha = 0.99, epsilon = 1e-8;
  double clip_norm = 0, ema_decay = 0;
  double label_smoothing = 0;
  ClassWeights class_weights;

  std::string schedule = "constant";
  int64_t step_every = 1;
  double step_factor = 0.1;
  std::vector<double> milestones;
  int64_t plateau_patience = 5;
  double final_rate = 0;
  double peak_at = 0.3;
  double warmup_epochs = 0;

  std::string valid = "0";
  std::string watch = "accuracy";
  double min_delta = 0;
  int64_t early_stopping = 0;  // epochs; 0: never
  std::string keep = "last";
  std::vector<std::string> positive;
  std::vector<double> mean, deviation;
  Switch mirror = Switch::off;
  int64_t crop_padding = 0;
  Switch claims = Switch::on;
  Switch recompute = Switch::off;
  Switch replay = Switch::on;
  Switch dependent_launch = Switch::on;
  std::string autotune = "engines";
  std::string tuning;  // file; empty: none
  std::string save_every = "5 min";
  std::vector<TensorRule> tensors;

  std::map<std::string, std::string> origin = {};  // where the value of a key came from; one that is absent is the default

  UpdateRule update_rule() const;
  double valid_share() const;  // of the training images; 0 where `valid` is "test". Throws Error (config)
  bool validates() const;
};

// What a key takes, for --help and for the flags.
struct RecipeKey {
  std::string name;         // "learning_rate"
  std::string placeholder;  // "RATE"
  std::string help;
  std::string standard;  // the default as text; empty if there is none
};
const std::vector<RecipeKey>& recipe_keys();

// `file`: as model::find_text finds it; may be empty. `flags`: values by key, as text; a list is separated by commas. Throws Error (config,
// usage).
Recipe read_recipe(const std::filesystem::path& file, const std::map<std::string, std::string>& flags);

// Throws Error (usage) where only a trainer would know the batch.
void refuse_automatic_batch(const Recipe& recipe);

// By key, as TOML; lists without a value are left out, and `tensors` is one text.
std::map<std::string, std::string> recipe_values(const Recipe& recipe);

std::string recipe_text(const Recipe& recipe);  // as TOML, every key but lists without a value, then the [[tensors]]
std::string config_text(const Recipe& recipe);  // the same, with the origin of each value behind it

}  // namespace fovea::train
