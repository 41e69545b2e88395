// What the machine does while others compute: energy, use of processors and GPU, memory; looked at ten times a second in a thread of its
// own.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "fovea/base/clock.h"
#include "fovea/study/comparison.h"
#include "fovea/study/energy.h"

namespace fovea::study {

// Everything that counts up does so since some moment before the first.
struct Moment {
  double seconds = 0;
  Joules joules;
  double own_seconds = 0;                        // of processors, by this process
  double busy_seconds = 0, offered_seconds = 0;  // of all processors, by all programs
  double host_bytes = 0;                         // resident
  std::optional<double> gpu_share, device_bytes;
};

struct Window {
  double begin = 0, end = 0;  // seconds of the sampler
};

class Sampler {
 public:
  struct Places {
    std::filesystem::path powercap = powercap_tree, proc = "/proc";
  };
  Sampler(const Nvml& nvml, Places places);
  explicit Sampler(const Nvml& nvml) : Sampler(nvml, Places()) {}
  ~Sampler();
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  const EnergyMeter& meter() const { return meter_; }
  Moment look();  // now, too
  std::vector<Moment> moments() const;

 private:
  void run();
  Moment moment();

  const Nvml& nvml_;
  Places places_;
  EnergyMeter meter_;
  Stopwatch watch_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;
  std::vector<Moment> moments_;
  std::thread thread_;
};

// Mean power within windows, from the moments in them that are at least `settle` seconds behind the window's begin.
struct Power {
  std::optional<double> watts;
  double seconds = 0;   // that it was measured over
  int64_t moments = 0;  // that it comes from
};
Power power_in(std::span<const Moment> moments, std::span<const Window> windows, std::optional<double> Joules::*domain, double settle);

// The windows laid end to end, as at most `most` samples.
std::vector<Sample> samples_in(std::span<const Moment> looks, std::span<const Window> windows, size_t most);

}  // namespace fovea::study
