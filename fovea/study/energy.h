// The energy that processor, memory and GPU have taken: RAPL counters of the kernel's powercap tree, and NVML.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "fovea/study/nvml.h"

namespace fovea::study {

inline constexpr const char* powercap_tree = "/sys/class/powercap";

// Of the whole machine, all programs included. What is not measured is nothing, never 0.
struct Joules {
  std::optional<double> cpu, dram, gpu;
};

class EnergyMeter {
 public:
  explicit EnergyMeter(const Nvml& nvml, const std::filesystem::path& powercap = powercap_tree);

  // Since the meter was made. A counter that begins anew at its end is followed as long as this is called before it does so twice.
  // `seconds`: of any clock, in which the GPU's power is integrated where it counts no energy.
  Joules read(double seconds);

  bool measures_anything() const { return !counters_.empty() || gpu_ != Gpu::absent; }
  bool measures_gpu() const { return gpu_ != Gpu::absent; }
  bool counts_gpu() const { return gpu_ == Gpu::counter; }  // by a counter of its own, which moves at its own times
  std::optional<double> counted_by_gpu() const;             // that counter alone, since the meter was made; beside `read`, too
  std::string method() const;                               // "CPU: RAPL counters of 2 packages; GPU: energy counter of NVML"
  std::string missing() const;                              // what is not measured, why, and what helps; empty if nothing is missing

 private:
  struct Counter {
    enum class Domain : uint8_t { cpu, dram } domain;
    std::filesystem::path file;
    double range = 0;  // joules at which it begins anew
    double last = 0, total = 0;
  };
  enum class Gpu : uint8_t { absent, counter, power };
  void add_counter(const std::filesystem::path& folder);
  std::optional<double> total_of(Counter::Domain domain) const;
  double gpu_total(double seconds);

  const Nvml& nvml_;
  std::vector<Counter> counters_;
  std::string cpu_missing_, gpu_missing_;
  Gpu gpu_ = Gpu::absent;
  double gpu_start_ = 0, gpu_total_ = 0, last_watts_ = 0;
  std::optional<double> last_seconds_;
};

}  // namespace fovea::study
