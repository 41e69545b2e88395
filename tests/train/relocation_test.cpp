// A training whose memory moves between its steps is the training whose memory does not.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "fovea/backend/registry.h"
#include "tests/train/faulty_backend.h"
#include "tests/train/tiny_run.h"

namespace fovea::train {
namespace {

constexpr std::byte left{0xfe};  // floats of it are -1.7e38, and become other bytes in bf16

// The host, but memory that is given back is kept: what is read there is huge, and what is written there is seen.
class HauntedDevice final : public Device {
 public:
  std::string name() const override { return host_->name(); }
  std::string platform() const override { return host_->platform(); }
  std::unique_ptr<Stream> make_stream() override { return host_->make_stream(); }
  std::unique_ptr<Memory> allocate(size_t bytes) override {
    if (fails_after_ && (*fails_after_)-- == 0) throw Error(ExitCode::memory, "no more");
    return std::make_unique<Kept>(host_->allocate(bytes), left_);
  }
  std::unique_ptr<Memory> resident(std::span<const std::byte> host, Stream& stream) override { return host_->resident(host, stream); }
  void upload(void* to, const void* from, size_t bytes, Stream& stream) override { host_->upload(to, from, bytes, stream); }
  void download(void* to, const void* from, size_t bytes, Stream& stream) override { host_->download(to, from, bytes, stream); }
  void fill(void* to, std::byte value, size_t bytes, Stream& stream) override { host_->fill(to, value, bytes, stream); }
  MemoryStatus memory_status() const override { return host_->memory_status(); }

  void fail_after(std::optional<int64_t> allocations) { fails_after_ = allocations; }

  size_t bytes_left() const {
    size_t bytes = 0;
    for (const auto& memory : *left_) bytes += memory->bytes();
    return bytes;
  }
  size_t bytes_changed() const {
    size_t changed = 0;
    for (const auto& memory : *left_) {
      const std::span all(static_cast<const std::byte*>(memory->data()), memory->bytes());
      changed += static_cast<size_t>(std::count_if(all.begin(), all.end(), [](std::byte byte) { return byte != left; }));
    }
    return changed;
  }

 private:
  using Left = std::vector<std::unique_ptr<Memory>>;
  class Kept final : public Memory {
   public:
    Kept(std::unique_ptr<Memory> inner, std::shared_ptr<Left> left) : inner_(std::move(inner)), left_(std::move(left)) {}
    ~Kept() override {
      std::memset(inner_->data(), std::to_integer<int>(fovea::train::left), inner_->bytes());
      left_->push_back(std::move(inner_));
    }
    void* data() const override { return inner_->data(); }
    size_t bytes() const override { return inner_->bytes(); }

   private:
    std::unique_ptr<Memory> inner_;
    std::shared_ptr<Left> left_;
  };
  std::unique_ptr<Device> host_ = make_host_device();
  std::shared_ptr<Left> left_ = std::make_shared<Left>();
  std::optional<int64_t> fails_after_;
};

// Binds so many times more, then fails once.
class Reluctant final : public Kernel {
 public:
  Reluctant(KernelPtr inner, std::optional<int64_t>& binds) : Kernel(inner->provider()), inner_(std::move(inner)), binds_(binds) {}
  std::string algorithm() const override { return inner_->algorithm(); }
  int threads() const override { return inner_->threads(); }
  size_t workspace_bytes() const override { return inner_->workspace_bytes(); }
  Layout input_layout(size_t i) const override { return inner_->input_layout(i); }
  Layout output_layout(size_t i) const override { return inner_->output_layout(i); }
  void bind(Buffers buffers, void* workspace) override {
    if (binds_ && (*binds_)-- == 0) throw Error(ExitCode::memory, "no more for a kernel");
    inner_->bind(std::move(buffers), workspace);
  }
  void run(Stream& stream) override { inner_->run(stream); }

 private:
  KernelPtr inner_;
  std::optional<int64_t>& binds_;
};

class HauntedBackend final : public MakesAsInner<Op> {
 public:
  HauntedBackend(std::unique_ptr<Backend> inner, HauntedDevice& device) : MakesAsInner<Op>(std::move(inner)), device_(device) {}
  std::string_view name() const override { return inner().name(); }
  Device& device() override { return device_; }
  std::optional<Claim> claim(const Neighbours& neighbours, const Limits& limits) override {
    std::optional<Claim> claim = inner().claim(neighbours, limits);
    if (claim || !reluctant_) return claim;
    const graph::Node& node = neighbours.nodes[0];
    KernelPtr kernel = fovea::make(inner(), node.op, limits);
    if (!kernel) return std::nullopt;  // a view: no step
    return Claim{1, std::string(name_of(node.op)), std::make_unique<Reluctant>(std::move(kernel), binds_), node.in, node.out};
  }
  void be_reluctant() { reluctant_ = true; }
  void fail_after(std::optional<int64_t> binds) { binds_ = binds; }

 private:
  HauntedDevice& device_;
  bool reluctant_ = false;
  std::optional<int64_t> binds_;
};

struct Case {
  std::string backend, precision;
};

void PrintTo(const Case& one, std::ostream* out) { *out << one.backend << " " << one.precision; }

// Those of the host that this machine has.
std::vector<Case> cases() {
  std::vector<Case> all = {{"reference", "fp32"}, {"eigen", "fp32"}, {"openmp", "fp32"}};
  for (const BackendEntry& entry : list_backends())
    if (entry.name == "onednn" && entry.absent_because.empty()) all.insert(all.end(), {{"onednn", "fp32"}, {"onednn", "bf16"}});
  return all;
}

class Relocation : public testing::TestWithParam<Case> {
 protected:
  Relocation() {
    run_.plant("roaming.toml", R"(name = "roaming"
input = [8, 8, 1]
layers = [
  { conv2d = 32, kernel = 3, batch_norm = true, activation = "relu" },
  { conv2d = 32, kernel = 3, padding = 1, batch_norm = true },
  { add = ["conv1", "conv2"], activation = "relu" },
  { max_pool = 2 },
  { conv2d = 16, kernel = 1, activation = "tanh" },
  { dropout = 0.25 },
  { flatten = true },
  { linear = 64, batch_norm = true, activation = "relu" },
  { linear = 4 },
]
)");
    Recipe& recipe = run_.recipe;
    recipe.model = run_.path("roaming.toml").string();
    recipe.backend = GetParam().backend;
    recipe.precision = GetParam().precision;
    recipe.threads = 2;
    recipe.optimizer = "adam";
    recipe.learning_rate = 0.002;
    recipe.mirror = Switch::on;
    recipe.crop_padding = 1;
    recipe.micro_batches = 2;
    recipe.ema_decay = 0.9;
    recipe.epochs = 2;
    recipe.valid = "0.2";
  }
  TinyRun run_;
};

TEST_P(Relocation, BetweenStepsChangesNoBit) {
  const TrainResult stayed = run_.train();
  HauntedDevice device;
  Callbacks silent;
  Trainer trainer(run_.recipe, silent, nullptr, std::make_unique<HauntedBackend>(open_backend(GetParam().backend), device));
  const size_t before = device.bytes_left();
  size_t moves = 0;
  trainer.start();
  while (!trainer.done()) {
    trainer.relocate();
    ++moves;
    trainer.epoch_is_trained() ? trainer.end_epoch() : static_cast<void>(trainer.advance(1));
  }
  const TrainResult moved = trainer.finish();
  EXPECT_GE(moves, 8u);
  EXPECT_EQ(device.bytes_left() - before, moves * trainer.arena_bytes());
  EXPECT_EQ(device.bytes_changed(), 0u) << "written where nothing lies any more";
  EXPECT_EQ(moved.late_allocations, 0);
  EXPECT_EQ(weights_sha256(moved.model.weights), weights_sha256(stayed.model.weights));
  ASSERT_EQ(moved.history.size(), stayed.history.size());
  for (size_t i = 0; i < moved.history.size(); ++i) {
    EXPECT_EQ(moved.history[i].train.loss, stayed.history[i].train.loss);
    EXPECT_EQ(moved.history[i].valid->loss, stayed.history[i].valid->loss);
  }
  EXPECT_EQ(moved.test.loss, stayed.test.loss);
}

TEST_P(Relocation, ThatFailsHalfWayLeavesTheTrainingWhereItIs) {
  const TrainResult stayed = run_.train();
  HauntedDevice device;
  auto own = std::make_unique<HauntedBackend>(open_backend(GetParam().backend), device);
  HauntedBackend& backend = *own;
  backend.be_reluctant();
  Callbacks silent;
  Trainer trainer(run_.recipe, silent, nullptr, std::move(own));
  const auto expect_failure = [&] { data::error_text(ExitCode::memory, [&] { trainer.relocate(); }); };
  trainer.start();
  for (int64_t i = 0; !trainer.done(); ++i) {
    device.fail_after(i % static_cast<int64_t>(plan::arena_count));
    expect_failure();
    device.fail_after(std::nullopt);
    backend.fail_after(5 * i);
    expect_failure();
    backend.fail_after(std::nullopt);
    trainer.epoch_is_trained() ? trainer.end_epoch() : static_cast<void>(trainer.advance(1));
  }
  const TrainResult failed = trainer.finish();
  EXPECT_EQ(device.bytes_changed(), 0u) << "written where nothing lies any more";
  EXPECT_EQ(failed.late_allocations, 0);
  EXPECT_EQ(weights_sha256(failed.model.weights), weights_sha256(stayed.model.weights));
  EXPECT_EQ(failed.test.loss, stayed.test.loss);
}

INSTANTIATE_TEST_SUITE_P(Host, Relocation, testing::ValuesIn(cases()),
                         [](const auto& info) { return info.param.backend + "_" + info.param.precision; });

}  // namespace
}  // namespace fovea::train
