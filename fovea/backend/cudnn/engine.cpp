#include "fovea/backend/cudnn/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "fovea/base/error.h"
#include "fovea/base/philox.h"
#include "fovea/tensor/convert.h"

namespace fovea::cudnn {
namespace {

constexpr size_t most_candidates = 8;
constexpr int warm_runs = 3;
constexpr size_t timed_runs = 5;

class EngineKernel final : public Kernel {
 public:
  explicit EngineKernel(const Chosen& chosen) : Kernel("cudnn"), name_(chosen.name), engine_(chosen.engine) {}
  std::string algorithm() const override { return name_; }
  size_t workspace_bytes() const override { return engine_->workspace_bytes(); }
  void bind(Buffers buffers, void* workspace) override {
    std::vector<void*> tensors;
    for (const std::vector<Tensor>* side : {&buffers.in, &buffers.out})
      for (const Tensor& tensor : *side) tensors.push_back(tensor.data);
    bound_ = engine_->bind(tensors, workspace);
  }
  void run(Stream& stream) override { bound_->run(stream); }

 private:
  std::string name_;
  std::shared_ptr<Engine> engine_;
  std::unique_ptr<BoundEngine> bound_;
};

// Device memory of the right sizes with random numbers in [-1, 1): what they are decides how much power a product takes.
class Scratch {
 public:
  Scratch(Device& device, const Problem& problem) : device_(device), stream_(device.make_stream()) {
    for (const Operand& operand : problem.operands) fill(operand);
  }

  // Of the median run.
  double microseconds(Engine& engine) {
    const std::unique_ptr<Memory> workspace = device_.allocate(engine.workspace_bytes());
    const std::unique_ptr<BoundEngine> bound = engine.bind(tensors_, workspace->data());
    for (int i = 0; i < warm_runs; ++i) bound->run(*stream_);
    std::array<double, timed_runs> seconds;
    for (double& time : seconds) time = device_.seconds(*stream_, [&] { bound->run(*stream_); });
    std::nth_element(seconds.begin(), seconds.begin() + timed_runs / 2, seconds.end());
    return 1e6 * seconds[timed_runs / 2];
  }

 private:
  static constexpr int64_t pattern = 1 << 20;  // elements after which the numbers repeat

  void fill(const Operand& operand) {
    const size_t bytes = static_cast<size_t>(operand.elements) * bytes_of(operand.dtype);
    memory_.push_back(device_.allocate(bytes));
    tensors_.push_back(memory_.back()->data());
    std::vector<double> values(static_cast<size_t>(std::min(operand.elements, pattern)));
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = 2 * static_cast<double>(to_unit(philox(0, Draw::test, static_cast<uint32_t>(i), 0, 0).v[0])) - 1;
    std::vector<std::byte> block(values.size() * bytes_of(operand.dtype));
    narrow(values, {block.data(), operand.dtype, {static_cast<int64_t>(values.size())}});
    for (size_t at = 0; at < bytes; at += block.size())
      device_.upload(static_cast<std::byte*>(tensors_.back()) + at, block.data(), std::min(block.size(), bytes - at), *stream_);
  }

  Device& device_;
  std::unique_ptr<Stream> stream_;
  std::vector<std::unique_ptr<Memory>> memory_;
  std::vector<void*> tensors_;
};

bool fits(const std::shared_ptr<Engine>& engine) { return engine != nullptr && engine->workspace_bytes() <= most_workspace; }

Chosen first_of(Offer& offer) {
  for (size_t i = 0; i < offer.size(); ++i)
    if (std::shared_ptr<Engine> engine = offer.build(i); fits(engine)) return {offer.name(i), engine};
  return {};
}

Chosen rebuilt(const Problem& problem, Offer& offer, const std::string& name) {
  for (size_t i = 0; i < offer.size(); ++i)
    if (offer.name(i) == name)
      if (std::shared_ptr<Engine> engine = offer.build(i)) return {name, engine};
  throw Error(ExitCode::device, fmt::format("the tuning takes `{}` for `{}`, which the library does not offer here", name, problem.text))
      .help("measure anew: leave out --tuning, or remove the file with the choices");
}

struct Timed {
  Chosen chosen;
  double microseconds = 0;
};

// By rising time. Empty where the operands do not fit into what memory is free.
std::vector<Timed> measured(const Problem& problem, Offer& offer, Device& device) try {
  std::vector<Timed> times;
  Scratch scratch(device, problem);
  for (size_t i = 0; i < offer.size() && times.size() < most_candidates; ++i)
    if (std::shared_ptr<Engine> engine = offer.build(i); fits(engine))
      times.push_back({{offer.name(i), engine}, scratch.microseconds(*engine)});
  std::stable_sort(times.begin(), times.end(), [](const Timed& a, const Timed& b) { return a.microseconds < b.microseconds; });
  return times;
} catch (const Error& error) {
  if (error.code() != ExitCode::memory) throw;
  return {};
}

}  // namespace

Chosen choose(const Problem& problem, Offer& offer, Device& device, Tuning* tuning) {
  if (tuning == nullptr) return first_of(offer);
  if (const Tuning::Choice* kept = tuning->find(problem.text)) return rebuilt(problem, offer, kept->taken);
  std::vector<Timed> times = measured(problem, offer, device);
  if (times.empty()) times = {{first_of(offer), 0}};
  if (times[0].chosen.engine == nullptr) return {};
  Tuning::Choice choice{times[0].chosen.name, times[0].microseconds, "", 0};
  if (times.size() > 1) {
    choice.rejected = times[1].chosen.name;
    choice.rejected_microseconds = times[1].microseconds;
  }
  tuning->keep(problem.text, choice);
  return times[0].chosen;
}

KernelPtr make_kernel(const Chosen& chosen) { return std::make_unique<EngineKernel>(chosen); }

}  // namespace fovea::cudnn
