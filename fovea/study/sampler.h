// What the machine does while others compute: energy, use of processors and GPU, memory; looked at ten times a second in a thread of its
// own, and at the GPU's counter of energy a hundred times, to know when it moves.
#pragma once

#include <condition_variable>
#include <mutex>
#include <span>
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

// What a counter of energy said, and when it began to say so.
struct Reading {
  double seconds = 0, joules = 0;
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
  // Each counter grows evenly from the first look to where it was seen to move, and from move to move; behind the last it is not known.
  std::vector<Moment> moments() const;
  // Each that saw the counter move; the very first did not see when it last had.
  std::vector<Reading> readings(std::optional<double> Joules::*domain) const;

 private:
  void run();
  Moment moment();
  void note_gpu(const Reading& reading);

  const Nvml& nvml_;
  Places places_;
  EnergyMeter meter_;
  Stopwatch watch_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;
  std::vector<Moment> moments_;
  std::vector<Reading> gpu_moves_;
  std::thread thread_;
};

// The first reading, and each that differs from the one before it.
std::vector<Reading> moves_of(std::span<const Moment> moments, std::optional<double> Joules::*domain);
// A counter that moves at its own times is seen to stand still between some moments and to leap between others. Here it grows evenly from
// move to move, and is nothing where no move is in front or behind.
void even_out(std::vector<Moment>& moments, std::optional<double> Joules::*domain, std::span<const Reading> moves);

// Mean power within windows, from the readings in them that are at least `settle` seconds behind the window's begin.
struct Power {
  std::optional<double> watts;
  double seconds = 0;    // that it was measured over
  int64_t readings = 0;  // that it comes from
};
Power power_in(std::span<const Reading> readings, std::span<const Window> windows, double settle);

// The windows laid end to end, as at most `most` samples.
std::vector<Sample> samples_in(std::span<const Moment> moments, std::span<const Window> windows, size_t most);

}  // namespace fovea::study
