#include "fovea/study/machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "fovea/backend/registry.h"
#include "fovea/base/clock.h"
#include "fovea/base/error.h"

namespace fovea::study {
namespace {

constexpr double least_seconds = 4e-3;  // of one timing: a launch takes some microseconds
constexpr int timings = 10;
constexpr int64_t multiply_add_rounds = 4096, product_rounds = 2048;  // of what stays in registers: their ends are a small part

// A load with memory of its own, which is zeros.
class BoundLoad {
 public:
  BoundLoad(Backend& backend, LoadMaker& maker, const Load& load, int threads)
      : stream_(backend.device().make_stream()), kernel_(maker.make_load(load, {threads})) {
    Buffers buffers;
    const auto place = [&](const graph::Type& type) {
      memory_.push_back(backend.device().allocate(static_cast<size_t>(type.shape.elements()) * bytes_of(type.dtype)));
      backend.device().fill(memory_.back()->data(), std::byte{0}, memory_.back()->bytes(), *stream_);
      return Tensor{memory_.back()->data(), type.dtype, type.shape};
    };
    for (const graph::Type& type : load.in()) buffers.in.push_back(place(type));
    for (const graph::Type& type : load.out()) buffers.out.push_back(place(type));
    kernel_->bind(std::move(buffers), nullptr);
    stream_->synchronize();
  }
  double seconds() {
    const Stopwatch watch;
    kernel_->run(*stream_);
    stream_->synchronize();
    return watch.seconds();
  }

 private:
  std::unique_ptr<Stream> stream_;
  KernelPtr kernel_;
  std::vector<std::unique_ptr<Memory>> memory_;
};

}  // namespace

Machine::Machine(Backend& backend) : backend_(&backend), maker_(dynamic_cast<LoadMaker*>(&backend)), device_(backend.device().name()) {
  for (const BackendEntry& entry : list_backends()) {
    if (maker_ != nullptr) return;
    if (!entry.absent_because.empty()) continue;
    own_ = open_backend(entry.name);
    backend_ = own_.get();
    if (own_->device().name() == device_) maker_ = dynamic_cast<LoadMaker*>(own_.get());
  }
  if (maker_ == nullptr) throw Error(ExitCode::device, fmt::format("no backend can measure what {} does at most", device_));
}

int64_t Machine::beyond_caches() const { return std::clamp<int64_t>(4 * last_level_cache(), int64_t{64} << 20, int64_t{1} << 30); }

double Machine::measured(const Load& least, int threads) {
  const auto [at, is_new] = rates_.try_emplace({least.kind, graph::name_of(least.precision), threads, least.elements});
  if (!is_new) return at->second;
  const bool in_registers = least.kind == Load::Kind::multiply_add || least.kind == Load::Kind::product;
  Load load = least;
  while (BoundLoad(*backend_, *maker_, load, threads).seconds() < least_seconds) (in_registers ? load.elements : load.rounds) *= 2;
  BoundLoad bound(*backend_, *maker_, load, threads);
  double best = bound.seconds();
  for (int i = 1; i < timings; ++i) best = std::min(best, bound.seconds());
  return at->second = (in_registers ? load.flops() : load.bytes()) / best;
}

bool Machine::has_products(const graph::Precision& precision) {
  return precision != graph::fp32 && maker_->make_load({Load::Kind::product, Load::tile, 1, precision}, {1}) != nullptr;
}

graph::Precision Machine::roof_of(int threads, const graph::Precision& precision) {
  return flops(threads, precision) > flops(threads) ? precision : graph::fp32;
}

double Machine::flops(int threads, const graph::Precision& precision) {
  const double single = measured({Load::Kind::multiply_add, 4 * threads * Load::block, multiply_add_rounds}, threads);
  if (!has_products(precision)) return single;
  return std::max(single, measured({Load::Kind::product, 4 * threads * Load::tile, product_rounds, precision}, threads));
}

double Machine::bandwidth(Load::Kind kind, int threads, int64_t working_set) {
  const uint64_t bytes = std::bit_floor(static_cast<uint64_t>(std::clamp<int64_t>(working_set, 1, beyond_caches())));
  const int64_t per_element = static_cast<int64_t>(Load{kind, Load::block, 1}.bytes()) / Load::block;
  return measured({kind, std::max<int64_t>(static_cast<int64_t>(bytes) / per_element / Load::block, 1) * Load::block, 1}, threads);
}

double Machine::bandwidth(int threads, int64_t working_set) {
  return std::max(bandwidth(Load::Kind::read, threads, working_set), bandwidth(Load::Kind::triad, threads, working_set));
}

Bound Machine::bound(const Work& work, int threads, const graph::Precision& precision) {
  const double arithmetic = work.flops > 0 ? work.flops / flops(threads, precision) : 0;
  const double memory = work.bytes > 0 ? work.bytes / bandwidth(threads, work.working_set) : 0;
  return {std::max(arithmetic, memory), arithmetic > memory ? Binding::arithmetic : Binding::memory};
}

}  // namespace fovea::study
