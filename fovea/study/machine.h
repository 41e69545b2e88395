// What a device can do at most, measured when it is first asked for and kept: the roofs that the speed of an operator is held against.
// Williams, Waterman, Patterson: "Roofline", CACM 52, 2009.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>

#include "fovea/backend/load.h"

namespace fovea::study {

enum class Binding : uint8_t { arithmetic, memory };

// The least time that some work can take.
struct Bound {
  double seconds = 0;
  Binding binding = Binding::memory;
};

struct Work {
  double flops = 0, bytes = 0;
  int64_t working_set = 0;  // bytes that are gone over again and again
};

class Machine {
 public:
  explicit Machine(Backend& backend);  // on whose device; throws Error (device) if no backend can measure that

  const std::string& device() const { return device_; }
  int64_t last_level_cache() const { return maker_->last_level_cache(); }  // bytes
  int64_t beyond_caches() const;                                           // a working set that no cache holds

  // Per second, of multiply-adds, which count as two: the factors in some precision, the sums in single precision.
  double flops(int threads, const graph::Precision& precision = graph::fp32);
  bool has_products(const graph::Precision& precision);  // whether a load of its own is known for them
  // What `flops` holds: `precision`, or fp32 where no load of its own is known, or is not faster.
  graph::Precision roof_of(int threads, const graph::Precision& precision);
  // bytes/s over a working set that is at most as large and gone over again and again.
  double bandwidth(Load::Kind kind, int threads, int64_t working_set);
  double bandwidth(int threads, int64_t working_set);  // of the better kind
  // max(flops / rate, bytes / bandwidth)
  Bound bound(const Work& work, int threads, const graph::Precision& precision = graph::fp32);

 private:
  double measured(const Load& least, int threads);

  std::unique_ptr<Backend> own_;  // where the asked one cannot measure, another one on the same device
  Backend* backend_;
  LoadMaker* maker_;
  std::string device_;
  std::map<std::tuple<Load::Kind, std::string_view, int, int64_t>, double> rates_;  // by kind, precision, threads and least elements
};

}  // namespace fovea::study
