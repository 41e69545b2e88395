#include "fovea/cli/mlperf_log.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>

#include "fovea/base/stop_signal.h"
#include "fovea/io/mllog.h"

namespace fovea::cli {
namespace {

using Type = io::MlEvent::Type;

int64_t now() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(since).count();
}

void print(const io::MlEvent& event, int64_t time) {
  fmt::print("{}\n", io::mllog_line(event, time));
  std::fflush(stdout);
}

void print_stop(const std::string& status) { print({Type::interval_end, "run_stop", {}, {{"status", status}}}, now()); }

}  // namespace

MlperfLog::~MlperfLog() {
  if (last_time_) print_stop("aborted");
}

void MlperfLog::on_start(const train::RunInfo& info) {
  last_time_ = now();
  const std::pair<const char*, io::MlValue> points[] = {
      {"submission_benchmark", info.model}, {"submission_platform", info.device},          {"seed", info.seed},
      {"global_batch_size", info.batch},    {"train_samples", info.train_images},          {"eval_samples", info.test_images},
      {"opt_name", info.optimizer},         {"opt_base_learning_rate", info.learning_rate}};
  for (const auto& [key, value] : points) print({Type::point_in_time, key, value, {}}, *last_time_);
  print({Type::interval_start, "run_start", {}, {}}, *last_time_);
}

void MlperfLog::on_epoch(const train::Epoch& epoch) {
  const int64_t time = now();
  const std::vector<std::pair<std::string, io::MlValue>> number = {{"epoch_num", epoch.epoch}};
  print({Type::interval_start, "epoch_start", {}, number}, last_time_.value_or(time));
  print({Type::interval_end, "epoch_stop", {}, number}, time);
  if (epoch.valid) print({Type::point_in_time, "eval_accuracy", epoch.valid->accuracy, number}, time);
  validated_ = validated_ || epoch.valid.has_value();
  last_time_ = time;
}

bool MlperfLog::stop_requested() { return stop_signal() != 0; }

void MlperfLog::end(double test_accuracy, int64_t kept_epoch) {
  if (!validated_) print({Type::point_in_time, "eval_accuracy", test_accuracy, {{"epoch_num", kept_epoch}}}, now());
  print_stop("success");
  last_time_.reset();
}

}  // namespace fovea::cli
