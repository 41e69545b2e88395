// What a comparison found, as result.json and the report have it: docs/comparison.md describes every member.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "fovea/base/error.h"
#include "fovea/study/bootstrap.h"

namespace fovea::study {

// A figure that may be unknown, for a reason; one of the two is there.
struct Known {
  std::optional<double> value = {};
  std::string reason = {};
};

// Of values that were measured several times.
struct Measured {
  std::optional<double> median = {};
  double q1 = 0, q3 = 0;
  std::optional<Interval> interval = {};  // nothing below least_rounds values
  size_t count = 0;
  std::string unit, reason;
};
Measured measured(std::span<const double> values, std::string unit, std::string reason_if_none);

// Over seeds.
struct Scored {
  std::optional<double> mean = {};
  std::optional<double> deviation = {};  // of a sample; nothing for one seed
  size_t count = 0;
  std::string unit, reason;
};
Scored scored(std::span<const double> values, std::string reason_if_none);

struct Slice {
  int64_t round = 0, images = 0;
  double seconds = 0, ms_per_step = 0;
};

struct EpochRecord {
  int64_t epoch = 0;
  double seconds = 0, end_seconds = 0;  // of training; end_seconds: from the start of the run
  double train_loss = 0, train_accuracy = 0;
  std::optional<double> valid_loss, valid_accuracy;
};

struct Sample {
  double t = 0;  // seconds of the run
  double own_share = 0, machine_share = 0, host_bytes = 0;
  std::optional<double> gpu_share, device_bytes, cpu_watts, gpu_watts;
};

struct SeedRun {
  int64_t seed = 1;
  std::optional<double> train_seconds;  // of a training that came to its end
  int64_t rounds = 0;
  std::vector<Slice> slices;
  std::vector<EpochRecord> epochs;
  std::vector<std::vector<int64_t>> confusion;  // by label, then by what was said; empty: not known
  std::vector<Sample> samples;
};

struct Energy {
  std::optional<double> gross_joules_per_image, net_joules_per_image, gross_joules, net_joules, cpu_joules, dram_joules, gpu_joules;
  std::string method, reason;
  int64_t samples = 0;
  std::optional<double> coverage;
};

struct Roof {
  std::optional<double> fraction, flops_per_second, roof_flops_per_second;
  std::string bound_by, source, reason;
};

// The speed of a row against that of another one.
struct Held {
  std::string against;  // the id of that row, which may be this one
  std::optional<Ratio> ratio;
  std::string reason;
};

enum class RowStatus : uint8_t { ran, refused, absent };

struct Row {
  std::string id, backend, device, precision, reason;
  std::optional<int64_t> threads, batch;     // of a GPU no threads
  std::map<std::string, int64_t> providers;  // steps of its plan of training, by the backend whose kernel runs them
  RowStatus status = RowStatus::ran;
  ExitCode refused_with = ExitCode::ok;  // how the program would end for a refused one alone; not written down
  Measured images_per_second, ms_per_step, seconds_per_epoch, seconds_to_target;
  Scored train_accuracy, valid_accuracy, test_accuracy;
  Known peak_host_bytes, peak_device_bytes, predicted_bytes;
  Energy energy;
  Held speedup;          // against the first row that has a speed
  Held against_fastest;  // against the row with the highest median of images/s
  Roof roof;
  std::vector<SeedRun> runs;
};

struct Question {
  std::string model, data, image, optimizer, schedule, validation;
  int64_t parameters = 0, train_images = 0, valid_images = 0, test_images = 0, classes = 0;
  double learning_rate = 0;
  std::vector<int64_t> batches, threads, seeds;
  std::vector<std::string> precisions;
  std::optional<int64_t> epochs, steps;
  std::optional<double> target_accuracy;
};

struct Idle {
  std::optional<double> cpu_watts, dram_watts, gpu_watts;
  double seconds = 0;
  std::string reason;
};

struct Environment {
  struct Gpu {
    std::string name, driver;
    double memory_bytes = 0;
  };
  std::string cpu, os, compiler, build;
  int64_t cores = 0;
  double memory_bytes = 0;
  std::optional<Gpu> gpu;
  std::string gpu_reason;
  std::vector<std::pair<std::string, std::string>> platforms;  // by backend: device, driver and versions of libraries
};

struct Comparison {
  std::string title;
  std::vector<std::string> command, notes;
  Environment environment;
  Question question;
  Idle idle;
  std::vector<Row> rows;
  bool interrupted = false;
};

inline constexpr const char* comparison_schema = "fovea.comparison/1";

std::string json_of(const Comparison& comparison);  // result.json

}  // namespace fovea::study
