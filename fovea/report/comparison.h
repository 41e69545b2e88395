// What `fovea compare` found, read from its result.json: the same network on the same pixels, a row for each way to train it.
// docs/comparison.md describes the file. What is not known is empty here, with the reason beside it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fovea::report {

using Known = std::optional<double>;

struct Spread {                  // of what was measured several times
  Known median, q1, q3;          // with its quartiles
  Known low, high;               // the 95 % interval of the median, by bootstrap
  std::optional<int64_t> count;  // of the values
  std::string unit, reason;      // reason: why there is no median
};
struct Score {  // over the seeds
  Known mean, deviation;
  std::optional<int64_t> count;
  std::string reason;
};
struct Energy {
  Known gross_per_image, net_per_image, gross, net, cpu, dram, gpu;  // J; net: less what the machine takes when idle
  Known coverage;                                                    // share of the time that was sampled
  std::optional<int64_t> samples;
  std::string method, reason;
};
struct Speedup {
  std::string against, verdict, reason;  // against: the id of a row
  Known ratio, low, high;
};
struct Roof {
  Known fraction, flops, roof_flops;  // the last two per second
  std::string bound_by, source, reason;
};

struct EpochFigures {
  int64_t epoch = 0;     // from 1
  Known seconds, clock;  // of this epoch; of the run up to its end
  Known train_loss, train_accuracy, valid_loss, valid_accuracy;
};
struct Moment {
  double seconds = 0;
  Known cpu, machine_cpu, gpu;  // shares that were busy: of the processors by this process, by all programs; of the GPU
  Known host_bytes, device_bytes, cpu_watts, gpu_watts;
};
struct Slice {  // of training, side by side with slices of the other rows
  int64_t round = 0;
  Known images, seconds;
};
struct ComparedRun {
  int64_t seed = 0;
  Known seconds;
  std::vector<double> step_ms;
  std::vector<Slice> slices;
  std::vector<EpochFigures> epochs;
  std::vector<std::vector<int64_t>> confusion;  // [true class][predicted class], or empty
  std::vector<Moment> moments;
};

enum class Status : uint8_t { ran, refused, absent };

struct ComparedRow {
  std::string id, backend, device, precision, reason;
  std::string label;  // of what tells it from the other rows: "openmp, 2 threads"
  std::optional<int64_t> threads, batch;
  std::vector<std::pair<std::string, int64_t>> providers;  // steps of its plan by whose kernel runs them
  Status status = Status::ran;
  Spread images_per_second, ms_per_step, s_per_epoch, time_to_target;
  Score train_accuracy, valid_accuracy, test_accuracy;
  Known peak_host_bytes, peak_device_bytes, predicted_bytes;
  std::string peak_host_reason, peak_device_reason, predicted_reason;
  Energy energy;
  Speedup speedup;          // against the first row
  Speedup against_fastest;  // empty in older files
  Roof roof;
  std::vector<ComparedRun> runs;
};

inline constexpr std::string_view unknown_entry = "unknown";  // the value of an entry that is null
using Entries = std::vector<std::pair<std::string, std::string>>;

struct Comparison {
  std::string title, date, version, commit;
  std::string statistics;  // how the intervals were made, in words
  bool interrupted = false;
  std::vector<std::string> command, notes;
  Entries environment, question;  // every member, those of objects in it as "gpu.name", as text
  std::optional<int64_t> train_images, valid_images, test_images;
  std::optional<int64_t> epochs, steps;  // that were asked for, of each training
  Known target_accuracy;
  std::string mode;                  // "training" or "speed"
  std::vector<int64_t> seeds;        // of the trainings of each row
  std::vector<std::string> classes;  // names, or empty
  Known idle_cpu_watts, idle_gpu_watts;
  std::string idle_reason;
  std::vector<ComparedRow> rows;
};

// `path`: a result.json, or its folder. Throws Error (data) on whatever is not the record of a comparison.
Comparison read_comparison(const std::filesystem::path& path);

const ComparedRow* find_row(const Comparison& comparison, const std::string& id);  // nullptr if there is none

bool is_on_gpu(const ComparedRow& row);  // it ran, and not on the processor

const char* name_of(Status status);

}  // namespace fovea::report
