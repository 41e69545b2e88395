#include "fovea/study/findings.h"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>

#include "fovea/backend/registry.h"
#include "fovea/base/build_info.h"
#include "fovea/base/error.h"
#include "fovea/base/processor.h"
#include "fovea/base/thread.h"
#include "fovea/study/machine.h"
#include "fovea/study/statistics.h"

namespace fovea::study {
namespace {

constexpr size_t most_samples = 400;  // of a run
constexpr double gpu_settles = 0.1;   // seconds: its counters are behind
constexpr const char* speed_alone = "--steps measures speed alone";
constexpr const char* not_to_its_end = "no training came to its end";

template <class Figure>
std::vector<double> all_slices(const Findings& row, const Figure& figure) {
  std::vector<double> values;
  for (const SeedRun& run : row.runs)
    for (const Slice& slice : run.slices) values.push_back(figure(slice));
  return values;
}

double images_per_second(const Slice& slice) { return static_cast<double>(slice.images) / slice.seconds; }

void put_times(Row& row, const Findings& found, const CompareSettings& settings) {
  row.images_per_second = measured(all_slices(found, images_per_second), "images/s", "no turn was measured");
  row.ms_per_step = measured(all_slices(found, [](const Slice& slice) { return slice.ms_per_step; }), "ms", "no turn was measured");
  std::vector<double> epochs;
  for (const SeedRun& run : found.runs)
    for (const EpochRecord& epoch : run.epochs) epochs.push_back(epoch.seconds);
  row.seconds_per_epoch = measured(epochs, "s", settings.steps ? speed_alone : "no epoch came to its end");
  const size_t missed = found.tested.size() - found.seconds_to_target.size();
  row.seconds_to_target = measured(found.seconds_to_target, "s", "");
  if (!settings.target_accuracy)
    row.seconds_to_target.reason = "no target was set: --target-accuracy";
  else if (missed > 0 || found.tested.empty())
    row.seconds_to_target.reason = fmt::format("{} of {} trainings did not reach {:.4g} in {} epochs", missed, found.tested.size(),
                                               *settings.target_accuracy, settings.recipe.epochs);
}

void put_accuracies(Row& row, const Findings& found, const CompareSettings& settings) {
  const char* none = settings.steps ? speed_alone : not_to_its_end;
  row.train_accuracy = scored(found.kept_train, none);
  row.valid_accuracy = scored(found.kept_valid, settings.steps || settings.recipe.validates() ? none : "nothing was set aside: --valid");
  row.test_accuracy = scored(found.tested, none);
}

void put_memory(Row& row, const Findings& found) {
  if (found.predicted_bytes > 0)
    row.predicted_bytes = {found.predicted_bytes, ""};
  else
    row.predicted_bytes.reason = "it was not predicted";
  if (found.host_bytes > 0)
    row.peak_host_bytes = {found.host_bytes, ""};
  else
    row.peak_host_bytes.reason = "it did not run";
  if (found.device_bytes)
    row.peak_device_bytes = {found.device_bytes, ""};
  else
    row.peak_device_bytes.reason = found.host_bytes > 0 ? "it runs on the processor: its memory is that of the host" : "it did not run";
}

// The parts that belong to a row: of the processor and its memory, and of the GPU where it runs there.
void put_energy(Row& row, const Findings& found, const Comparison& comparison, const Sampler& sampler) {
  Energy& energy = row.energy;
  energy.method = sampler.meter().method();
  energy.reason = sampler.meter().missing();
  std::vector<Window> windows;
  double seconds = 0, images = 0;
  for (size_t i = 0; i < found.windows.size(); ++i) {
    windows.insert(windows.end(), found.windows[i].begin(), found.windows[i].end());
    images += static_cast<double>(found.images[i]);
  }
  for (const Window& window : windows) seconds += window.end - window.begin;
  const double runs = static_cast<double>(std::max<size_t>(1, found.runs.size()));
  double gross = 0, net = 0;
  const auto add = [&](std::optional<double> Joules::*domain, double settle, std::optional<double> idle) -> std::optional<double> {
    const std::vector<Reading> readings = sampler.readings(domain);
    Power power = power_in(readings, windows, settle);
    if (!power.watts) power = power_in(readings, found.windows_of_speed, settle);  // the training's own turns are too short
    if (!power.watts || images == 0) return std::nullopt;
    gross += *power.watts * seconds;
    net += (*power.watts - idle.value_or(0)) * seconds;
    energy.samples = std::max(energy.samples, power.readings);
    energy.coverage = std::min({energy.coverage.value_or(1), 1.0, power.seconds / seconds});
    return *power.watts * seconds / runs;
  };
  energy.cpu_joules = add(&Joules::cpu, 0, comparison.idle.cpu_watts);
  energy.dram_joules = add(&Joules::dram, 0, comparison.idle.dram_watts);
  if (found.device_bytes) energy.gpu_joules = add(&Joules::gpu, gpu_settles, comparison.idle.gpu_watts);
  if (found.device_bytes && !energy.gpu_joules && sampler.meter().measures_gpu())
    energy.reason += fmt::format("{}GPU: no turn was long enough for its counter", energy.reason.empty() ? "" : "; ");
  if (energy.coverage) {
    energy.gross_joules = gross / runs;
    energy.net_joules = net / runs;
    energy.gross_joules_per_image = gross / images;
    energy.net_joules_per_image = net / images;
  } else if (energy.reason.empty()) {
    energy.reason = "no turn was long enough for the counters";
  }
}

class Roofs {
 public:
  void put(Row& row, const Findings& found) {
    if (!row.images_per_second.median) {
      row.roof.reason = "its speed is not known";
      return;
    }
    const double seconds = static_cast<double>(found.info.batch) / *row.images_per_second.median;
    row.roof.flops_per_second = found.flops_per_step / seconds;
    const graph::Precision precision = graph::precision_named(row.precision).value();
    Machine& machine = machine_of(found);
    const int threads = found.info.threads;
    row.roof.roof_flops_per_second = machine.flops(threads, precision);
    row.roof.fraction = *row.roof.flops_per_second / *row.roof.roof_flops_per_second;
    const Bound bound =
        machine.bound({found.flops_per_step, found.bytes_per_step, static_cast<int64_t>(found.predicted_bytes)}, threads, precision);
    row.roof.bound_by = bound.binding == Binding::arithmetic ? "arithmetic" : "memory";
    row.roof.source = fmt::format("multiply-adds in {} of {}, measured in this run as by `fovea machine`",
                                  graph::name_of(machine.roof_of(threads, precision)),
                                  found.device_bytes ? "the GPU" : fmt::format("{} thread{}", threads, threads == 1 ? "" : "s"));
  }

 private:
  Machine& machine_of(const Findings& found) {
    const auto at = machines_.find(found.info.device);
    if (at != machines_.end()) return at->second;
    backends_.push_back(open_backend(found.entry.backend));
    return machines_.try_emplace(found.info.device, *backends_.back()).first->second;
  }
  std::vector<std::unique_ptr<Backend>> backends_;
  std::map<std::string, Machine> machines_;
};

Row row_of(const Findings& found, const Comparison& comparison, const CompareSettings& settings, const Sampler& sampler) {
  Row row;
  row.id = found.entry.id;
  row.backend = found.entry.backend;
  row.device = found.info.device;
  row.precision = found.entry.precision;
  if (!found.device_bytes) row.threads = found.entry.threads;
  row.providers = found.providers;
  row.batch = found.info.batch > 0 ? found.info.batch : found.entry.batch;
  row.status = found.refused.empty() ? RowStatus::ran : RowStatus::refused;
  row.reason = found.refused;
  row.refused_with = found.refused_with;
  put_times(row, found, settings);
  put_accuracies(row, found, settings);
  put_memory(row, found);
  put_energy(row, found, comparison, sampler);
  row.runs = found.runs;
  const std::vector<Moment> moments = sampler.moments();
  for (size_t i = 0; i < row.runs.size(); ++i) row.runs[i].samples = samples_in(moments, found.windows[i], most_samples);
  return row;
}

Question question_of(const CompareSettings& settings, const std::vector<Findings>& findings) {
  const train::Recipe& recipe = settings.recipe;
  Question question;
  question.model = recipe.model;
  question.data = recipe.data;
  question.optimizer = recipe.optimizer;
  question.schedule = recipe.schedule;
  question.learning_rate = recipe.learning_rate;
  question.batches = settings.batches;
  question.threads = settings.threads;
  question.precisions = settings.precisions;
  for (int64_t i = 0; i < settings.seeds; ++i) question.seeds.push_back(recipe.seed + i);
  if (settings.steps)
    question.steps = settings.steps;
  else
    question.epochs = recipe.epochs;
  question.target_accuracy = settings.target_accuracy;
  const auto opened = std::find_if(findings.begin(), findings.end(), [](const Findings& one) { return one.data != nullptr; });
  if (opened == findings.end()) return question;
  const data::Dataset& dataset = opened->data->dataset;
  question.data = dataset.title;
  question.train_images = dataset.train.count;
  question.valid_images = opened->data->validated() != nullptr ? opened->data->validated()->count : 0;
  question.test_images = dataset.test.count;
  question.image = fmt::format("{} x {} x {}", dataset.train.h, dataset.train.w, dataset.train.c);
  question.classes = std::ssize(dataset.classes);
  question.validation = opened->data->validation_text();
  if (!opened->info.model.empty()) question.model = opened->info.model;
  question.parameters = opened->info.parameters;
  return question;
}

size_t first_with_a_speed(const std::vector<Row>& rows) {
  return static_cast<size_t>(
      std::find_if(rows.begin(), rows.end(), [](const Row& row) { return row.images_per_second.median.has_value(); }) - rows.begin());
}

// Of those that came to their end; as many as there are rows if none did.
size_t fastest_of(const std::vector<Row>& rows) {
  size_t fastest = rows.size();
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].status != RowStatus::ran || !rows[i].images_per_second.median) continue;
    if (fastest == rows.size() || *rows[i].images_per_second.median > *rows[fastest].images_per_second.median) fastest = i;
  }
  return fastest;
}

Held held_against(const std::vector<Findings>& findings, const std::vector<Row>& rows, size_t which, size_t against) {
  if (against == rows.size()) return {"", std::nullopt, "no row has a speed"};
  const Row& row = rows[which];
  Held held{rows[against].id, std::nullopt, ""};
  if (which == against) {
    held.ratio = Ratio{.ratio = 1, .interval = std::nullopt, .pairs = row.images_per_second.count};
    held.reason = "the others are compared with it";
  } else if (row.images_per_second.median) {
    held.ratio = speed_ratio(findings[which], findings[against]);
    if (!held.ratio->interval) held.reason = fmt::format("fewer than {} rounds say nothing for sure", least_rounds);
  } else {
    held.reason = "its speed is not known";
  }
  return held;
}

std::string system_name() {
  std::ifstream stream("/etc/os-release");
  std::string line, pretty;
  while (std::getline(stream, line))
    if (line.starts_with("PRETTY_NAME=")) pretty = line.substr(12);
  std::erase(pretty, '"');
  utsname names{};
  ::uname(&names);
  return fmt::format("{}{}{} {}", pretty, pretty.empty() ? "" : ", ", names.sysname, names.release);
}

}  // namespace

Measured measured(std::span<const double> values, std::string unit, std::string reason_if_none) {
  Measured figure;
  figure.count = values.size();
  figure.unit = std::move(unit);
  if (values.empty()) {
    figure.reason = std::move(reason_if_none);
    return figure;
  }
  const Quartiles quartiles = quartiles_of(values);
  figure.median = quartiles.median;
  figure.q1 = quartiles.q1;
  figure.q3 = quartiles.q3;
  figure.interval = median_interval(values);
  return figure;
}

Scored scored(std::span<const double> values, std::string reason_if_none) {
  Scored score;
  score.count = values.size();
  score.unit = "share";
  if (values.empty()) {
    score.reason = std::move(reason_if_none);
    return score;
  }
  double sum = 0, squares = 0;
  for (const double value : values) sum += value;
  score.mean = sum / static_cast<double>(values.size());
  for (const double value : values) squares += (value - *score.mean) * (value - *score.mean);
  if (values.size() > 1) score.deviation = std::sqrt(squares / static_cast<double>(values.size() - 1));
  return score;
}

Ratio speed_ratio(const Findings& of, const Findings& against) {
  std::vector<double> logs;
  for (const SeedRun& run : of.runs)
    for (const SeedRun& base : against.runs) {
      if (base.seed != run.seed) continue;
      auto other = base.slices.begin();
      for (const Slice& slice : run.slices) {
        other = std::find_if(other, base.slices.end(), [&](const Slice& one) { return one.round >= slice.round; });
        if (other == base.slices.end()) break;
        if (other->round == slice.round) logs.push_back(std::log(images_per_second(slice) / images_per_second(*other)));
      }
    }
  if (logs.size() >= least_rounds) return ratio_of_pairs(logs);
  const Ratio alone = ratio_of_medians(all_slices(of, images_per_second), all_slices(against, images_per_second));
  return logs.empty() || alone.interval ? alone : ratio_of_pairs(logs);
}

void summarise(Comparison& comparison, const CompareSettings& settings, const std::vector<Findings>& findings, const Sampler& sampler) {
  comparison.question = question_of(settings, findings);
  Roofs roofs;
  for (const Findings& found : findings) {
    Row row = row_of(found, comparison, settings, sampler);
    roofs.put(row, found);
    for (const std::string& warning : found.warnings) comparison.notes.push_back(fmt::format("{}: {}", row.id, warning));
    if (!found.stayed.empty()) comparison.notes.push_back(fmt::format("row {}: {}", row.id, found.stayed));
    comparison.rows.push_back(std::move(row));
  }
  const size_t first = first_with_a_speed(comparison.rows), fastest = fastest_of(comparison.rows);
  for (size_t i = 0; i < findings.size(); ++i) {
    comparison.rows[i].speedup = held_against(findings, comparison.rows, i, first);
    comparison.rows[i].against_fastest = held_against(findings, comparison.rows, i, fastest);
  }
}

Environment environment_of(const Nvml& nvml, const std::vector<Findings>& findings) {
  Environment environment;
  const BuildInfo build = build_info();
  environment.cpu = processor_name();
  environment.cores = usable_threads();
  environment.memory_bytes = static_cast<double>(memory_bytes());
  environment.os = system_name();
  environment.compiler = build.compiler;
  environment.build = build.type;
  environment.gpu_reason = nvml.absent_because();
  if (nvml.absent_because().empty()) {
    const std::optional<Nvml::Memory> memory = nvml.memory();
    environment.gpu = Environment::Gpu{nvml.name(), nvml.driver(), memory ? memory->total : 0};
  }
  for (const Findings& found : findings) {
    const auto is_there = [&](const auto& one) { return one.first == found.entry.backend; };
    if (std::any_of(environment.platforms.begin(), environment.platforms.end(), is_there)) continue;
    environment.platforms.emplace_back(found.entry.backend, open_backend(found.entry.backend)->platform());
  }
  return environment;
}

}  // namespace fovea::study
