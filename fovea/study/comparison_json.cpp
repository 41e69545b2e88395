// The one place that knows how a comparison is written down.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "fovea/base/build_info.h"
#include "fovea/study/comparison.h"

namespace fovea::study {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* statistics_text =
    "each training is cut into as many turns as there are rounds, and in each round every row takes one turn, in an order drawn anew; "
    "figures are medians over these turns, q1 and q3 their quartiles; low and high are a 95 % interval of the "
    "median: the wider of a circular block bootstrap and the order statistics; a ratio is the median of the ratios within rounds, its "
    "interval 1 % wider on either side, by which equal trainings differ by where their memory lies; where it holds 1 there is no "
    "significant difference";

// Seven significant digits: more than any figure here has, and a file that can be read.
Json number(double value) {
  if (!std::isfinite(value)) return nullptr;
  if (value == std::floor(value) && std::abs(value) < 9e15) return static_cast<int64_t>(value);
  return std::stod(fmt::format("{:.7g}", value));
}
template <class Value>
Json number(const std::optional<Value>& value) {
  return value ? number(static_cast<double>(*value)) : Json(nullptr);
}
Json text(const std::string& value) { return value.empty() ? Json(nullptr) : Json(value); }

void put(Json& to, const std::string& key, const Known& known) {
  to[key] = number(known.value);
  if (!known.value) to[key + "_reason"] = known.reason;
}

Json json(const Measured& figure) {
  Json result = {{"median", number(figure.median)}};
  result["q1"] = figure.median ? number(figure.q1) : Json(nullptr);
  result["q3"] = figure.median ? number(figure.q3) : Json(nullptr);
  result["low"] = figure.interval ? number(figure.interval->low) : Json(nullptr);
  result["high"] = figure.interval ? number(figure.interval->high) : Json(nullptr);
  result["count"] = figure.count;
  result["unit"] = figure.unit;
  result["reason"] = text(figure.reason);
  return result;
}

Json json(const Scored& score) {
  return {{"mean", number(score.mean)},
          {"std", number(score.deviation)},
          {"count", score.count},
          {"unit", score.unit},
          {"reason", text(score.reason)}};
}

Json json(const Energy& energy) {
  return {{"gross_joules_per_image", number(energy.gross_joules_per_image)},
          {"net_joules_per_image", number(energy.net_joules_per_image)},
          {"gross_joules", number(energy.gross_joules)},
          {"net_joules", number(energy.net_joules)},
          {"cpu_joules", number(energy.cpu_joules)},
          {"dram_joules", number(energy.dram_joules)},
          {"gpu_joules", number(energy.gpu_joules)},
          {"method", text(energy.method)},
          {"samples", energy.samples},
          {"coverage", number(energy.coverage)},
          {"reason", text(energy.reason)}};
}

Json json(const Roof& roof) {
  return {{"fraction", number(roof.fraction)},
          {"flops_per_s", number(roof.flops_per_second)},
          {"roof_flops_per_s", number(roof.roof_flops_per_second)},
          {"bound_by", text(roof.bound_by)},
          {"source", text(roof.source)},
          {"reason", text(roof.reason)}};
}

Json json(const Held& held, const std::string& id) {
  Json result = {{"against", text(held.against)}};
  const bool known = held.ratio && held.ratio->pairs > 0;
  result["ratio"] = known ? number(held.ratio->ratio) : Json(nullptr);
  const bool bounded = known && held.ratio->interval;
  result["low"] = bounded ? number(held.ratio->interval->low) : Json(nullptr);
  result["high"] = bounded ? number(held.ratio->interval->high) : Json(nullptr);
  result["verdict"] = known && held.against != id ? Json(name_of(held.ratio->verdict)) : Json(nullptr);
  result["pairs"] = known ? held.ratio->pairs : 0;
  result["reason"] = text(held.reason);
  return result;
}

Json json(const SeedRun& run) {
  Json slices = Json::array(), step_ms = Json::array(), epochs = Json::array(), samples = Json::array();
  for (const Slice& slice : run.slices) {
    slices.push_back({{"round", slice.round}, {"images", slice.images}, {"seconds", number(slice.seconds)}});
    step_ms.push_back(number(slice.ms_per_step));
  }
  for (const EpochRecord& epoch : run.epochs)
    epochs.push_back({{"epoch", epoch.epoch},
                      {"seconds", number(epoch.seconds)},
                      {"t", number(epoch.end_seconds)},
                      {"train_loss", number(epoch.train_loss)},
                      {"train_accuracy", number(epoch.train_accuracy)},
                      {"valid_loss", number(epoch.valid_loss)},
                      {"valid_accuracy", number(epoch.valid_accuracy)}});
  for (const Sample& sample : run.samples)
    samples.push_back({{"t", number(sample.t)},
                       {"cpu", number(sample.own_share)},
                       {"machine_cpu", number(sample.machine_share)},
                       {"gpu", number(sample.gpu_share)},
                       {"host_bytes", number(sample.host_bytes)},
                       {"device_bytes", number(sample.device_bytes)},
                       {"cpu_watts", number(sample.cpu_watts)},
                       {"gpu_watts", number(sample.gpu_watts)}});
  return {{"seed", run.seed},
          {"rounds", run.rounds},
          {"seconds", number(run.train_seconds)},
          {"slices", slices},
          {"step_ms", step_ms},
          {"epochs", epochs},
          {"confusion", run.confusion.empty() ? Json(nullptr) : Json(run.confusion)},
          {"samples", samples}};
}

Json json(const Row& row) {
  constexpr const char* names[] = {"ran", "refused", "absent"};
  Json result = {{"id", row.id},
                 {"backend", row.backend},
                 {"device", text(row.device)},
                 {"threads", number(row.threads)},
                 {"providers", row.providers.empty() ? Json(nullptr) : Json(row.providers)},
                 {"precision", text(row.precision)},
                 {"batch", number(row.batch)},
                 {"status", names[static_cast<size_t>(row.status)]},
                 {"reason", text(row.reason)},
                 {"images_per_second", json(row.images_per_second)},
                 {"ms_per_step", json(row.ms_per_step)},
                 {"s_per_epoch", json(row.seconds_per_epoch)},
                 {"time_to_target_s", json(row.seconds_to_target)},
                 {"train_accuracy", json(row.train_accuracy)},
                 {"valid_accuracy", json(row.valid_accuracy)},
                 {"test_accuracy", json(row.test_accuracy)}};
  put(result, "peak_host_bytes", row.peak_host_bytes);
  put(result, "peak_device_bytes", row.peak_device_bytes);
  put(result, "predicted_bytes", row.predicted_bytes);
  result["energy"] = json(row.energy);
  result["speedup"] = json(row.speedup, row.id);
  result["against_fastest"] = json(row.against_fastest, row.id);
  result["roof"] = json(row.roof);
  result["runs"] = Json::array();
  for (const SeedRun& run : row.runs) result["runs"].push_back(json(run));
  return result;
}

Json json(const Question& question) {
  return {{"mode", question.steps ? "speed" : "training"},
          {"model", question.model},
          {"parameters", question.parameters},
          {"data", question.data},
          {"train_images", question.train_images},
          {"valid_images", question.valid_images},
          {"test_images", question.test_images},
          {"image", question.image},
          {"classes", question.classes},
          {"valid", question.validation},
          {"optimizer", question.optimizer},
          {"learning_rate", number(question.learning_rate)},
          {"schedule", question.schedule},
          {"batches", question.batches},
          {"threads", question.threads},
          {"precisions", question.precisions},
          {"seeds", question.seeds},
          {"epochs", number(question.epochs)},
          {"steps", number(question.steps)},
          {"target_accuracy", number(question.target_accuracy)}};
}

Json json(const Environment& environment) {
  Json gpu = nullptr, libraries = Json::object();
  if (environment.gpu)
    gpu = {{"name", environment.gpu->name}, {"driver", environment.gpu->driver}, {"memory_bytes", number(environment.gpu->memory_bytes)}};
  for (const auto& [backend, platform] : environment.platforms) libraries[backend] = platform;
  return {{"cpu", environment.cpu},
          {"cores", environment.cores},
          {"memory_bytes", number(environment.memory_bytes)},
          {"os", environment.os},
          {"compiler", environment.compiler},
          {"build", environment.build},
          {"gpu", gpu},
          {"gpu_reason", text(environment.gpu_reason)},
          {"libraries", libraries}};
}

}  // namespace

std::string json_of(const Comparison& comparison) {
  const BuildInfo build = build_info();
  Json json = {{"schema", comparison_schema},
               {"title", comparison.title},
               {"command", comparison.command},
               {"date", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)))},
               {"version", build.version},
               {"commit", build.commit},
               {"environment", study::json(comparison.environment)},
               {"question", study::json(comparison.question)},
               {"notes", comparison.notes},
               {"statistics", statistics_text},
               {"interrupted", comparison.interrupted},
               {"idle",
                {{"cpu_watts", number(comparison.idle.cpu_watts)},
                 {"dram_watts", number(comparison.idle.dram_watts)},
                 {"gpu_watts", number(comparison.idle.gpu_watts)},
                 {"seconds", number(comparison.idle.seconds)},
                 {"reason", text(comparison.idle.reason)}}},
               {"rows", Json::array()}};
  for (const Row& row : comparison.rows) json["rows"].push_back(study::json(row));
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace fovea::study
