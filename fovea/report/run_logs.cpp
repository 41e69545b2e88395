// A log for each run of a comparison: event files of TensorBoard, and lines as MLPerf has them.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>

#include "fovea/io/mllog.h"
#include "fovea/io/tensorboard.h"
#include "fovea/report/tidy.h"

namespace fovea::report {
namespace {

// As the name of a file, whatever it holds.
std::string file_name(const std::string& id) {
  std::string name;
  for (const char letter : id) {
    const bool harmless = (letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
                          letter == '-' || letter == '+' || (letter == '.' && !name.empty());
    name += harmless ? letter : '_';
  }
  return name.empty() ? "_" : name.substr(0, 120);
}

// Names that no two rows share.
std::vector<std::string> row_names(const Comparison& comparison) {
  std::vector<std::string> names;
  for (const ComparedRow& row : comparison.rows) {
    std::string name = file_name(row.id);
    while (std::find(names.begin(), names.end(), name) != names.end()) name += "_";
    names.push_back(name);
  }
  return names;
}

std::string run_name(const ComparedRun& run) { return fmt::format("seed{}", run.seed); }

// Seconds since 1970 of "2026-11-21", with or without "T14:03:05Z" behind; 0 for anything else.
double wall_time(const std::string& date) {
  const auto number = [&](size_t from, size_t count) {
    int value = 0;
    if (date.size() < from + count) return -1;
    const auto [end, failure] = std::from_chars(date.data() + from, date.data() + from + count, value);
    return failure == std::errc() && end == date.data() + from + count ? value : -1;
  };
  const std::chrono::year_month_day day(std::chrono::year(number(0, 4)),
                                        std::chrono::month(static_cast<unsigned>(std::max(0, number(5, 2)))),
                                        std::chrono::day(static_cast<unsigned>(std::max(0, number(8, 2)))));
  if (!day.ok() || number(0, 4) < 0) return 0;
  const auto seconds = std::chrono::sys_seconds(std::chrono::sys_days(day)).time_since_epoch().count();
  return static_cast<double>(seconds) + 3600 * std::max(0, number(11, 2)) + 60 * std::max(0, number(14, 2)) + std::max(0, number(17, 2));
}

void add_scalar(io::EventLog& log, const char* tag, int64_t step, const Known& value, double time) {
  if (value) log.scalar(tag, step, static_cast<float>(*value), time);
}

std::string events_of(const ComparedRow& row, const ComparedRun& run, double start) {
  io::EventLog log(start);
  double time = start;
  for (const EpochFigures& epoch : run.epochs) {
    time += epoch.seconds.value_or(0);
    add_scalar(log, "loss/train", epoch.epoch, epoch.train_loss, time);
    add_scalar(log, "loss/validation", epoch.epoch, epoch.valid_loss, time);
    add_scalar(log, "accuracy/train", epoch.epoch, epoch.train_accuracy, time);
    add_scalar(log, "accuracy/validation", epoch.epoch, epoch.valid_accuracy, time);
    add_scalar(log, "seconds/epoch", epoch.epoch, epoch.seconds, time);
  }
  int64_t step = 0;
  for (const double milliseconds : run.step_ms) add_scalar(log, "milliseconds/step", ++step, milliseconds, start);
  step = 0;
  for (const Moment& moment : run.moments) {
    const double at = start + moment.seconds;
    ++step;
    add_scalar(log, "utilisation/cpu", step, moment.cpu, at);
    add_scalar(log, "utilisation/gpu", step, moment.gpu, at);
    add_scalar(log, "memory/host_bytes", step, moment.host_bytes, at);
    add_scalar(log, "memory/device_bytes", step, moment.device_bytes, at);
    add_scalar(log, "power/cpu_watts", step, moment.cpu_watts, at);
    add_scalar(log, "power/gpu_watts", step, moment.gpu_watts, at);
  }
  add_scalar(log, "images_per_second", 0, row.images_per_second.median, start);
  return log.bytes();
}

class MlLog {
 public:
  explicit MlLog(double start) : start_(start) {}
  void add(io::MlEvent::Type type, const char* key, io::MlValue value, std::vector<std::pair<std::string, io::MlValue>> metadata = {}) {
    text_ += io::mllog_line({type, key, std::move(value), std::move(metadata)}, std::llround(1000 * (start_ + elapsed_))) + "\n";
  }
  void point(const char* key, io::MlValue value) { add(io::MlEvent::Type::point_in_time, key, std::move(value)); }
  void wait(double seconds) { elapsed_ += seconds; }
  std::string text() && { return std::move(text_); }

 private:
  double start_, elapsed_ = 0;
  std::string text_;
};

std::string setting(const Comparison& comparison, const std::string& key) {
  for (const auto& [name, value] : comparison.question)
    if (name == key) return value;
  return "";
}

std::string mllog_of(const Comparison& comparison, const ComparedRow& row, const ComparedRun& run, double start) {
  using Type = io::MlEvent::Type;
  MlLog log(start);
  log.point("submission_benchmark", setting(comparison, "model"));
  log.point("submission_platform", row.device.empty() ? row.backend : row.device);
  log.point("seed", run.seed);
  if (row.batch) log.point("global_batch_size", *row.batch);
  if (comparison.train_images) log.point("train_samples", *comparison.train_images);
  if (comparison.valid_images) log.point("eval_samples", *comparison.valid_images);
  if (const std::string name = setting(comparison, "optimizer"); !name.empty()) log.point("opt_name", name);
  double rate = 0;
  const std::string text = setting(comparison, "learning_rate");
  if (std::from_chars(text.data(), text.data() + text.size(), rate).ec == std::errc()) log.point("opt_base_learning_rate", rate);
  log.add(Type::interval_start, "run_start", {});
  bool reached = false;
  for (const EpochFigures& epoch : run.epochs) {
    const std::vector<std::pair<std::string, io::MlValue>> number = {{"epoch_num", epoch.epoch}};
    log.add(Type::interval_start, "epoch_start", {}, number);
    log.wait(epoch.seconds.value_or(0));
    log.add(Type::interval_end, "epoch_stop", {}, number);
    if (!epoch.valid_accuracy) continue;
    log.add(Type::point_in_time, "eval_accuracy", *epoch.valid_accuracy, number);
    reached = reached || (comparison.target_accuracy && *epoch.valid_accuracy >= *comparison.target_accuracy);
  }
  const bool success = reached || !comparison.target_accuracy;
  log.add(Type::interval_end, "run_stop", {}, {{"status", std::string(success ? "success" : "aborted")}});
  return std::move(log).text();
}

}  // namespace

std::vector<NamedFile> tensorboard_files(const Comparison& comparison) {
  const double start = wall_time(comparison.date);
  const std::vector<std::string> names = row_names(comparison);
  std::vector<NamedFile> files;
  for (size_t i = 0; i < names.size(); ++i)
    for (const ComparedRun& run : comparison.rows[i].runs)
      files.push_back({fmt::format("tensorboard/{}/{}/events.out.tfevents.{:.0f}.fovea", names[i], run_name(run), start),
                       events_of(comparison.rows[i], run, start)});
  return files;
}

std::vector<NamedFile> mlperf_logs(const Comparison& comparison) {
  const double start = wall_time(comparison.date);
  const std::vector<std::string> names = row_names(comparison);
  std::vector<NamedFile> files;
  for (size_t i = 0; i < names.size(); ++i)
    for (const ComparedRun& run : comparison.rows[i].runs)
      files.push_back({fmt::format("mlperf/{}-{}.log", names[i], run_name(run)), mllog_of(comparison, comparison.rows[i], run, start)});
  return files;
}

}  // namespace fovea::report
