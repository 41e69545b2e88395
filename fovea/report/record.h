// What a run left behind, read again: result.json, history.csv and the lines of results/*.jsonl, as docs/results.md describes them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace fovea::report {

struct RunRecord {
  std::string file;
  std::string model, data, backend, device, commit;  // backend: with the precision behind it, where that is not fp32
  int64_t threads = 1, seed = 0, epochs = 0, batch = 0;
  double train_seconds = 0, images_per_second = 0;
  double test_accuracy = 0;  // in [0, 1]
};

// `path`: a result.json, or the folder of a run. Throws Error (data) on whatever is not such a record.
RunRecord read_run(const std::filesystem::path& path);

struct HistoryRow {
  int64_t epoch = 0;  // from 1
  double train_accuracy = 0;
  std::optional<double> valid_accuracy;
};

// `path`: a history.csv, or the folder of a run. Throws Error (data) on whatever is not such a history.
std::vector<HistoryRow> read_history(const std::filesystem::path& path);

// One line of a file in results/.
struct Measurement {
  std::string cpu, commit;
  std::string model;  // of the configuration, like the next two
  int64_t batch = 0, threads = 0;
  std::vector<std::pair<std::string, double>> medians;  // by label
};

// The speeds (unit images/s) in a .jsonl file, in its order. Throws Error (data) with the line of whatever is not a record.
std::vector<Measurement> read_speeds(const std::filesystem::path& path);

}  // namespace fovea::report
