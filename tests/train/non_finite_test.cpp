// NaN and infinity put into a value of a step: seen, named, and never saved, so that the run goes on from its last good checkpoint.
#include <fmt/format.h>

#include <iostream>

#include "fovea/backend/registry.h"
#include "tests/train/faulty_backend.h"
#include "tests/train/tiny_run.h"

namespace fovea::train {
namespace {

using data::error_text;

constexpr uint64_t train_images = 40, test_images = 20;  // batches of 16: two full ones and one of 8
constexpr uint32_t all_steps[] = {0, 1, 2};

struct Case {
  std::string model, shape;
  size_t every;  // of so many values one is spoilt
};

class NonFiniteValues : public testing::TestWithParam<std::tuple<std::string, Case>> {
 protected:
  void SetUp() override {
    const auto& [backend, one] = GetParam();
    for (const BackendEntry& entry : list_backends())
      if (entry.name == backend && !entry.absent_because.empty()) GTEST_SKIP() << entry.absent_because;
    Recipe& recipe = run_.recipe;
    recipe.backend = backend;
    recipe.threads = 2;
    recipe.model = one.model;
    recipe.data = fmt::format("synthetic:{}:10:{}:{}", one.shape, train_images, test_images);
    recipe.valid = "test";
    recipe.save_every = "1 step";
    recipe.replay = Switch::off;  // what spoils a value cannot be recorded
    recipe.autotune = "off";      // runs in folders of their own are compared
    recipe.optimizer = "adam";
    recipe.learning_rate = 1e-3;
    recipe.ema_decay = 0.9;
    recipe.clip_norm = 5;
  }

  // In this folder, with a backend or the plain one; goes on with what was saved there.
  TrainResult train(const std::string& folder, std::unique_ptr<Backend> backend = nullptr) {
    Callbacks silent;
    Trainer trainer(run_.recipe, silent, nullptr, std::move(backend));
    std::filesystem::create_directories(run_.path(folder));
    trainer.save_in(run_.path(folder));
    trainer.resume();
    return trainer.train();
  }
  std::unique_ptr<Backend> faulty(Fault fault, Written* written = nullptr) {
    return std::make_unique<FaultyBackend>(open_backend(run_.recipe.backend), std::move(fault), written);
  }

  void expect_seen(const Fault& fault) {
    SCOPED_TRACE(fmt::format("{} in {} values of `{}`, step {}", fault.bad, fault.elements, fault.value, fault.step));
    const std::string text = error_text(ExitCode::numeric, [&] { train("run", faulty(fault)); });
    const std::string layer = fault.value.substr(0, fault.value.find('.'));
    EXPECT_NE(text.find("`" + layer), std::string::npos) << text;
    const std::optional<LoadedCheckpoint> saved = load_checkpoint(run_.path("run"));
    EXPECT_LE(saved ? saved->checkpoint.state.step : 0, fault.images == train_images ? fault.step + 1 : 3);
    EXPECT_EQ(weights_sha256(train("run").model.weights), expected_);
    std::filesystem::remove_all(run_.path("run"));
  }

  TinyRun run_;
  std::string expected_;
};

// One bad number is enough where every number counts; a rectifier or a pool may rightly leave out that of an image.
size_t elements_of(const std::string& value) {
  for (const std::string whole : {"weight", "bias", "loss", "data"})
    if (value.find(whole) != std::string::npos) return 1;
  return SIZE_MAX;
}

TEST_P(NonFiniteValues, AreSeenWhereverTheyComeFrom) {
  const Case& one = std::get<1>(GetParam());
  Written written;
  expected_ = weights_sha256(train("whole", faulty({}, &written)).model.weights);
  constexpr float bad[] = {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()};
  int places = 0;
  for (size_t i = 0; i < written.training.size(); i += one.every, ++places) {
    const std::string& value = written.training[i];
    expect_seen({value, all_steps[places % 3], train_images, bad[places / 3 % 2], elements_of(value)});
    if (HasFailure()) return;
  }
  for (size_t i = 0; i < written.evaluation.size(); i += 3 * one.every, ++places) {
    const std::string& value = written.evaluation[i];
    expect_seen({value, 0, test_images, bad[places % 2], elements_of(value)});
    if (HasFailure()) return;
  }
  std::cout << "[   counts ] " << places << " places of " << written.training.size() + written.evaluation.size() << "\n";
  EXPECT_GE(places, 8);
}

INSTANTIATE_TEST_SUITE_P(Backends, NonFiniteValues,
                         testing::Combine(testing::Values("eigen", "openmp", "onednn", "cuda", "cudnn"),
                                          testing::Values(Case{"lenet5", "28x28x1", 1}, Case{"cifar_cnn", "32x32x3", 6},
                                                          Case{"resnet20", "32x32x3", 57})),
                         [](const auto& info) { return std::get<0>(info.param) + "_" + std::get<1>(info.param).model; });

}  // namespace
}  // namespace fovea::train
