// A plan that does not fit is refused before the first batch, and the batch that the message names is the largest that does.
#include "fovea/train/memory_limit.h"

#include <fmt/format.h>

#include <regex>

#include "fovea/model/network.h"
#include "tests/train/tiny_run.h"

namespace fovea::train {
namespace {

using data::error_text;

TEST(MemoryLimit, IsANumberWithAUnit) {
  EXPECT_EQ(memory_limit("2 GiB"), size_t{2} << 30);
  EXPECT_EQ(memory_limit("500MiB"), size_t{500} << 20);
  EXPECT_EQ(memory_limit("1.5 KiB"), 1536u);
  EXPECT_EQ(memory_limit("3 GB"), 3'000'000'000u);
  EXPECT_GT(memory_limit(""), size_t{1} << 62);
  for (const std::string text : {"2", "GiB", "-1 GiB", "0 MiB", "2 TiB or so", "nan GiB", "1e300 GiB", "auto"})
    EXPECT_NE(error_text(ExitCode::config, [&] { memory_limit(text); }).find("`memory_limit`"), std::string::npos) << text;
}

TEST(LargestBatch, FitsAndTheNextDoesNot) {
  for (int64_t most = 1; most < 40; ++most)
    for (int64_t bound = 0; bound < 45; ++bound)
      for (const int64_t least : {1, 3})
        EXPECT_EQ(largest_batch({least, most}, [&](int64_t batch) { return batch <= bound; }),
                  most < least || bound < least ? 0 : std::min(bound, most));
}

TEST(MemoryLimit, SaysWhatComputingAgainWouldSave) {
  TinyRun run;
  run.recipe.backend = "openmp";
  run.recipe.model = "resnet20";
  run.recipe.data = "synthetic:32x32x3:10:16:4";
  run.recipe.batch = 8;
  Callbacks silent;
  const auto predicted = [&](Switch recompute) {
    run.recipe.recompute = recompute;
    return Trainer(run.recipe, silent).info().predicted_bytes;
  };
  const size_t with = predicted(Switch::on), without = predicted(Switch::off);
  ASSERT_LT(with, without);
  const auto refused = [&](size_t allowed) {
    run.recipe.memory_limit = fmt::format("{:.6f} KiB", static_cast<double>(allowed) / 1024);
    return error_text(ExitCode::memory, [&] { Trainer(run.recipe, silent); });
  };
  const std::string would_do = fmt::format("set recompute = true, with which a batch of 8 needs {} and fits", memory_text(with));
  EXPECT_NE(refused((with + without) / 2).find(would_do), std::string::npos) << refused((with + without) / 2);
  EXPECT_EQ(refused(with / 2).find("recompute"), std::string::npos) << "it would not help: " << refused(with / 2);
  run.recipe.recompute = Switch::on;
  EXPECT_EQ(refused(with / 2).find("recompute"), std::string::npos) << refused(with / 2);
  run.recipe.memory_limit = fmt::format("{:.6f} KiB", static_cast<double>((with + without) / 2) / 1024);
  EXPECT_EQ(Trainer(run.recipe, silent).info().predicted_bytes, with);
}

struct Unwatched : Callbacks {
  void on_progress(const Progress&) override { ++steps; }
  int steps = 0;
};

class MemoryLimitOfRuns : public testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  MemoryLimitOfRuns() {
    const auto& [backend, model] = GetParam();
    recipe().backend = backend;
    recipe().threads = 2;
    recipe().save_every = "never";
    if (model == "batch_norm") {
      run_.use_batch_norm();
      return;
    }
    recipe().model = model;
    const model::Network network = model::load_network(model);
    recipe().data = fmt::format("synthetic:{}x{}x{}:10:50:20", network.h, network.w, network.c);
    recipe().valid = "0.2";
  }
  Recipe& recipe() { return run_.recipe; }
  size_t predicted(int64_t batch) {
    recipe().batch = batch;
    recipe().memory_limit.clear();
    return run_.train().info.predicted_bytes;
  }
  void allow(size_t bytes) { recipe().memory_limit = fmt::format("{:.6f} KiB", static_cast<double>(bytes) / 1024); }
  std::string refused() {
    Unwatched watcher;
    const std::string text = error_text(ExitCode::memory, [&] { Trainer(recipe(), watcher).train(); });
    EXPECT_EQ(watcher.steps, 0);
    return text;
  }

  TinyRun run_;
};

TEST_P(MemoryLimitOfRuns, NamesTheLargestBatchThatFits) {
  for (const int64_t micro_batches : {1, 2}) {
    if (micro_batches == 2 && std::get<1>(GetParam()) == "batch_norm") break;  // the last of the epoch would be of one image
    recipe().micro_batches = micro_batches;
    allow((predicted(8) + predicted(16)) / 2);
    recipe().batch = 40;
    const std::string text = refused();
    std::smatch found;
    ASSERT_TRUE(std::regex_search(text, found, std::regex("the largest batch that fits is ([0-9]+)"))) << text;
    EXPECT_NE(text.find("allowed by memory_limit"), std::string::npos) << text;
    const int64_t largest = std::stoll(found[1]);
    EXPECT_GE(largest, 8);
    EXPECT_LT(largest, 16);
    recipe().batch = largest;
    const TrainResult result = run_.train();
    EXPECT_LE(result.info.predicted_bytes, memory_limit(recipe().memory_limit));
    recipe().batch = largest + 1;
    refused();
    recipe().batch = automatic_batch;
    EXPECT_EQ(run_.train().info.batch, 8);
  }
}

TEST_P(MemoryLimitOfRuns, SaysWhereNoBatchFits) {
  recipe().memory_limit = "1 KiB";
  for (const int64_t batch : {int64_t{16}, automatic_batch}) {
    recipe().batch = batch;
    EXPECT_NE(refused().find("no batch fits"), std::string::npos);
  }
}

TEST_P(MemoryLimitOfRuns, WithoutOneTakesWhatIsFree) {
  recipe().batch = automatic_batch;
  EXPECT_EQ(run_.train().info.batch, 32);  // of 40 or 50 images
}

INSTANTIATE_TEST_SUITE_P(Backends, MemoryLimitOfRuns,
                         testing::Combine(testing::Values("reference", "eigen", "openmp"), testing::Values("lenet5", "batch_norm")),
                         [](const auto& info) { return std::get<0>(info.param) + "_" + std::get<1>(info.param); });

}  // namespace
}  // namespace fovea::train
