#include "fovea/study/op_bench.h"

#include <algorithm>
#include <cmath>

#include "fovea/base/clock.h"
#include "fovea/graph/work.h"
#include "fovea/study/case_buffers.h"

namespace fovea::study {
namespace {

constexpr int64_t least_values = 3;
constexpr double values_wanted = 64;
constexpr double least_called = 50e-6, least_replayed = 2e-3;  // seconds of a value: reading the clock and a launch are nothing beside them
constexpr int64_t most_recorded = 4096;                        // runs in a recording

// A case that is bound to memory, once or in several copies, and what its runs take.
class Bench {
 public:
  Bench(Backend& backend, const OpCase& op_case, const BenchSettings& settings)
      : device_(backend.device()), settings_(settings), stream_(device_.make_stream()) {
    stream_->set(settings.dependent_launches);
    const auto add = [&] {
      kernels_.push_back(make(backend, op_case.op, {settings.threads, settings.tuning}));
      Kernel& kernel = *kernels_.back();
      if (!workspace_) workspace_ = device_.allocate(kernel.workspace_bytes());
      buffers_.push_back(std::make_unique<CaseBuffers>(backend, op_case, kernel, *stream_));
      kernel.bind(buffers_.back()->buffers(), workspace_->data());
    };
    add();
    for (int64_t i = 1; i < copies_wanted(); ++i) add();
    stream_->synchronize();
  }

  OpSpeed operator()() {
    const double estimate = warm_up();
    const int64_t copies = std::ssize(kernels_);
    OpSpeed speed;
    const double wanted = settings_.seconds / values_wanted;
    std::unique_ptr<Recording> recording;
    const int64_t to_record = recorded_runs(std::max(wanted, least_replayed), estimate);
    recording = device_.record(*stream_, [&] { run(to_record); });
    speed.runs_per_value = recording ? to_record : runs_in(std::max(wanted, least_called), estimate);
    speed.how = recording ? "recorded and replayed" : "called";
    const auto value = [&] {
      const Stopwatch watch;
      if (recording)
        recording->replay(*stream_);
      else
        run(speed.runs_per_value);
      stream_->synchronize();
      return watch.seconds();
    };
    if (recording) value();  // the first replay is slower
    for (double total = 0; total < settings_.seconds || std::ssize(speed.seconds) < least_values;) {
      const double seconds = value();
      total += seconds;
      speed.seconds.push_back(seconds / static_cast<double>(speed.runs_per_value));
    }
    const Kernel& kernel = *kernels_.front();
    speed.provider = kernel.provider();
    speed.algorithm = kernel.algorithm();
    speed.threads = kernel.threads();
    speed.copies = copies;
    speed.working_set = copies * buffers_.front()->bytes() + static_cast<int64_t>(workspace_->bytes());
    return speed;
  }

 private:
  int64_t copies_wanted() const {
    if (settings_.caches == Caches::hot) return 1;
    const int64_t bytes = buffers_.front()->bytes();
    return std::clamp<int64_t>((2 * settings_.last_level_cache + bytes - 1) / bytes, 2, most_copies);
  }

  void run(int64_t runs) {
    for (int64_t i = 0; i < runs; ++i) {
      kernels_[next_]->run(*stream_);
      next_ = next_ + 1 < kernels_.size() ? next_ + 1 : 0;
    }
  }

  static int64_t runs_in(double seconds, double estimate) {
    return std::max<int64_t>(1, std::llround(std::min(seconds / std::max(estimate, 1e-9), 1e6)));
  }
  // All copies equally often.
  int64_t recorded_runs(double seconds, double estimate) const {
    const int64_t copies = std::ssize(kernels_);
    const int64_t runs = std::min(runs_in(seconds, estimate), most_recorded);
    return (runs + copies - 1) / copies * copies;
  }

  // Seconds of a run, roughly.
  double warm_up() {
    const Stopwatch all;
    double best = 0;
    for (int64_t runs = 1; runs == 1 || all.seconds() < settings_.seconds / 4; runs *= 2) {
      const Stopwatch watch;
      run(runs);
      stream_->synchronize();
      best = watch.seconds() / static_cast<double>(runs);
    }
    return best;
  }

  Device& device_;
  BenchSettings settings_;
  std::unique_ptr<Stream> stream_;
  std::vector<KernelPtr> kernels_;  // one for each copy
  std::unique_ptr<Memory> workspace_;
  std::vector<std::unique_ptr<CaseBuffers>> buffers_;
  size_t next_ = 0;
};

}  // namespace

OpSpeed measure(Backend& backend, const OpCase& op_case, const BenchSettings& settings) {
  OpSpeed speed = Bench(backend, op_case, settings)();
  speed.flops = 2 * static_cast<double>(macs_of(op_case.op));
  speed.bytes = static_cast<double>(graph::bytes_of(op_case.op));
  return speed;
}

}  // namespace fovea::study
