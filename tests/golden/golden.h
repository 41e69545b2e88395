// Reads losses.json and draws the data of its runs; README.md beside it says how a run goes.
#pragma once

#include <cstdint>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "fovea/base/philox.h"
#include "fovea/graph/op.h"

namespace fovea::golden {

struct Long {
  std::vector<double> losses, spread;
};

struct Run {
  std::string name, model;  // model: path from the root
  uint64_t seed = 0;
  int64_t batch = 1, images = 1;
  UpdateRule rule;
  float learning_rate = 0, weight_decay = 0, smoothing = 0;
  double clip_norm = 0, ema_decay = 0;
  int64_t micro_batches = 1;
  std::vector<float> class_weights;  // empty: 1
  std::string weights_sha256, pixels_sha256, labels_sha256;
  std::vector<double> losses_f32, losses_f64;    // mean of each batch, before its update
  std::map<std::string, double> gradient_norms;  // of the first step, in double, by trained parameter
  std::map<std::string, double> running_norms;   // of the running statistics after the last step, in double, by name
  double evaluation = 0;                         // mean loss of all images after the last step, in double
  Long longer;                                   // empty in most runs
};

inline UpdateRule read_rule(const nlohmann::json& optimizer) {
  const std::string rule = optimizer.at("rule");
  const auto number = [&](const char* key) { return optimizer.at(key).get<float>(); };
  if (rule == "adam") return Adam{number("beta1"), number("beta2"), number("epsilon")};
  if (rule == "adamw") return AdamW{number("beta1"), number("beta2"), number("epsilon")};
  if (rule == "rmsprop") return RmsProp{number("alpha"), number("epsilon"), number("momentum")};
  if (rule == "sgd") return Sgd{number("momentum"), optimizer.at("nesterov").get<bool>() ? Sgd::Nesterov::yes : Sgd::Nesterov::no};
  throw std::runtime_error("tests/golden/losses.json has an unknown rule " + rule);
}

inline Run read_run(const nlohmann::json& json) {
  Run run;
  const auto read = [&](const char* key, auto& place) { json.at(key).get_to(place); };
  read("name", run.name);
  read("model", run.model);
  read("seed", run.seed);
  read("batch", run.batch);
  read("images", run.images);
  read("label_smoothing", run.smoothing);
  read("losses_f32", run.losses_f32);
  read("losses_f64", run.losses_f64);
  read("gradient_norms", run.gradient_norms);
  read("evaluation_f64", run.evaluation);
  if (json.contains("running_norms")) read("running_norms", run.running_norms);
  if (json.contains("micro_batches")) read("micro_batches", run.micro_batches);
  if (json.contains("class_weights")) read("class_weights", run.class_weights);
  const nlohmann::json &optimizer = json.at("optimizer"), &hashes = json.at("sha256");
  run.rule = read_rule(optimizer);
  run.learning_rate = optimizer.at("learning_rate").get<float>();
  run.weight_decay = optimizer.at("weight_decay").get<float>();
  run.clip_norm = optimizer.value("clip_norm", 0.0);
  run.ema_decay = optimizer.value("ema_decay", 0.0);
  hashes.at("weights").get_to(run.weights_sha256);
  hashes.at("pixels").get_to(run.pixels_sha256);
  hashes.at("labels").get_to(run.labels_sha256);
  if (json.contains("long")) run.longer = {json.at("long").at("losses_f32"), json.at("long").at("spread")};
  return run;
}

// From the root of the sources, where the tests run; throws where there are none.
inline std::vector<Run> read_runs() {
  std::ifstream file("tests/golden/losses.json");
  const nlohmann::json json = nlohmann::json::parse(file);
  std::vector<Run> runs;
  for (const nlohmann::json& run : json.at("runs")) runs.push_back(read_run(run));
  if (runs.empty()) throw std::runtime_error("tests/golden/losses.json has no runs");
  return runs;
}

inline constexpr float mean = 0.5f, deviation = 0.5f;  // of every channel, for Augment

inline std::vector<uint8_t> draw_pixels(uint64_t seed, size_t count) {
  std::vector<uint8_t> pixels(count);
  for (size_t i = 0; i < count; ++i)
    pixels[i] = static_cast<uint8_t>(philox(seed, Draw::test, 0, static_cast<uint32_t>(i / 16), 0).v[i % 16 / 4] >> (8 * (i % 4)));
  return pixels;
}

inline std::vector<int32_t> draw_labels(uint64_t seed, size_t count, uint32_t classes) {
  std::vector<int32_t> labels(count);
  for (size_t i = 0; i < count; ++i)
    labels[i] = static_cast<int32_t>(to_below(philox(seed, Draw::test, 1, static_cast<uint32_t>(i / 4), 0).v[i % 4], classes));
  return labels;
}

}  // namespace fovea::golden
