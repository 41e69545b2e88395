// The speed of one operator by itself.
#pragma once

#include <string>
#include <vector>

#include "fovea/backend/backend.h"
#include "fovea/study/op_cases.h"

namespace fovea::study {

// hot: every run works on the memory of the run before. cold: on copies in turns that together take twice the last-level cache, at most
// `most_copies` of them; OpSpeed::working_set says what they came to.
enum class Caches : uint8_t { hot, cold };
inline constexpr int64_t most_copies = 4096;

struct BenchSettings {
  int threads = 1;
  double seconds = 0.2;  // of timing; warming up takes a quarter as long
  Caches caches = Caches::hot;
  int64_t last_level_cache = 0;  // bytes; asked for where caches are cold
  Tuning* tuning = nullptr;      // where engines of libraries are measured first
  DependentLaunches dependent_launches = DependentLaunches::on;
};

struct OpSpeed {
  std::string provider, algorithm;  // of the kernel
  int threads = 1;                  // that it takes
  int64_t copies = 1;
  int64_t working_set = 0;      // bytes of inputs, outputs and workspace, of all copies
  int64_t runs_per_value = 1;   // back to back
  double flops = 0, bytes = 0;  // of a run, at least: macs_of, bytes_of
  std::vector<double> seconds;  // of a run, in the order in which they were measured; none is left out
  std::string how;              // "recorded and replayed" or "called"
};

// Where the device records, the runs of a value are one recording that is replayed, so that launching is not what is measured.
OpSpeed measure(Backend& backend, const OpCase& op_case, const BenchSettings& settings);

}  // namespace fovea::study
