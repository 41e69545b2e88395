// Compares a backend with itself, every kernel of the second row slower by a share: what `fovea compare` makes of a known difference.
// planted_slowdown BACKEND THREADS SHARE RUNS MODEL DATA BATCH prints one JSON object for each run; tools/compare_statistics.py calls it.
#include <fmt/format.h>

#include <cstdlib>
#include <ctime>

#include "fovea/backend/registry.h"
#include "fovea/study/compare.h"
#include "tests/train/faulty_backend.h"

namespace fovea::study {
namespace {

// Of its processor: what other programs hold up is not held up once more.
double thread_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Takes `share` longer than another kernel of the host.
class SlowKernel final : public Kernel {
 public:
  SlowKernel(KernelPtr inner, double share) : Kernel(inner->provider()), inner_(std::move(inner)), share_(share) {}
  std::string algorithm() const override { return inner_->algorithm(); }
  int threads() const override { return inner_->threads(); }
  size_t workspace_bytes() const override { return inner_->workspace_bytes(); }
  Layout input_layout(size_t i) const override { return inner_->input_layout(i); }
  Layout output_layout(size_t i) const override { return inner_->output_layout(i); }
  void bind(Buffers buffers, void* workspace) override { inner_->bind(std::move(buffers), workspace); }
  void run(Stream& stream) override {
    const double begin = thread_seconds();
    inner_->run(stream);
    for (const double end = thread_seconds() + share_ * (thread_seconds() - begin); thread_seconds() < end;) continue;
  }

 private:
  KernelPtr inner_;
  double share_;
};

class SlowBackend final : public train::MakesAsInner<Op> {
 public:
  SlowBackend(std::unique_ptr<Backend> inner, double share) : train::MakesAsInner<Op>(std::move(inner)), share_(share) {}
  std::string_view name() const override { return inner().name(); }
  Device& device() override { return inner().device(); }
  std::optional<Claim> claim(const Neighbours& neighbours, const Limits& limits) override {
    std::optional<Claim> claim = inner().claim(neighbours, limits);
    const graph::Node& node = neighbours.nodes[0];
    if (!claim && std::holds_alternative<Flatten>(node.op)) return claim;
    if (!claim) claim = Claim{1, std::string(name_of(node.op)), fovea::make(inner(), node.op, limits), node.in, node.out};
    claim->kernel = std::make_unique<SlowKernel>(std::move(claim->kernel), share_);
    return claim;
  }

 private:
  double share_;
};

struct Plant final : CompareWatcher {
  explicit Plant(double how_much) : share(how_much) {}
  std::unique_ptr<Backend> backend_of(const Entry& entry) override {
    return std::make_unique<SlowBackend>(open_backend(entry.backend), entry.id.ends_with("-2") ? share : 0);
  }
  double share;
};

void run(char** arguments) {
  CompareSettings settings;
  const std::string backend = arguments[1];
  settings.backends = {backend, backend};
  settings.threads = {std::atoll(arguments[2])};
  settings.steps = 1;
  settings.recipe.model = arguments[5];
  settings.recipe.data = arguments[6];
  settings.batches = {std::atoll(arguments[7])};
  settings.precisions = {"fp32"};
  Plant plant(std::atof(arguments[3]));
  for (int i = std::atoi(arguments[4]); i > 0; --i) {
    const Comparison comparison = compare(settings, "no_folder_is_made", plant);
    const Ratio& ratio = *comparison.rows[1].speedup.ratio;
    fmt::print(
        "{{\"ratio\": {:.5f}, \"low\": {:.5f}, \"high\": {:.5f}, \"pairs\": {}, \"verdict\": \"{}\", \"images_per_second\": {:.0f}}}\n",
        ratio.ratio, ratio.interval->low, ratio.interval->high, ratio.pairs, name_of(ratio.verdict),
        *comparison.rows[0].images_per_second.median);
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace fovea::study

int main(int count, char** arguments) {
  if (count != 8) {
    fmt::print(stderr, "usage: planted_slowdown BACKEND THREADS SHARE RUNS MODEL DATA BATCH\n");
    return 2;
  }
  try {
    fovea::study::run(arguments);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
