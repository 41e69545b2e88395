// Comparisons of tiny runs: who takes part, that each training is the one of `fovea train`, and what is written down.
#include "fovea/study/compare.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "fovea/backend/registry.h"
#include "fovea/base/file.h"
#include "fovea/study/contestant.h"
#include "fovea/study/machine.h"
#include "fovea/train/run_folder.h"
#include "tests/train/faulty_backend.h"
#include "tests/train/tiny_run.h"

namespace fovea::study {
namespace {

using Json = nlohmann::json;

class Compare : public testing::Test {
 protected:
  Compare() {
    settings_.recipe = run_.recipe;
    settings_.recipe.epochs = 3;
    settings_.recipe.valid = "0.2";
    settings_.backends = {"eigen", "openmp"};
    settings_.threads = {1};
    settings_.batches = {16};
    settings_.precisions = {"fp32"};
    settings_.title = "tiny";
    settings_.extra_seconds = 0.3;
  }
  Comparison compare() { return study::compare(settings_, run_.path("out"), watcher_); }
  std::vector<std::string> ids() const {
    std::vector<std::string> ids;
    for (const Entry& entry : lineup_of(settings_).entries) ids.push_back(entry.id);
    return ids;
  }

  train::TinyRun run_;
  CompareSettings settings_;
  CompareWatcher watcher_;
};

TEST_F(Compare, SweepsMultiplyTheRowsButForWhatABackendHasOnlyOnce) {
  settings_.threads = {1, 2};
  settings_.batches = {16, 32};
  const std::vector<std::string> expected = {"eigen-t1-fp32-b16",  "eigen-t1-fp32-b32",  "openmp-t1-fp32-b16",
                                             "openmp-t1-fp32-b32", "openmp-t2-fp32-b16", "openmp-t2-fp32-b32"};
  EXPECT_EQ(ids(), expected);
  settings_.backends = {"eigen", "eigen"};
  settings_.batches = {16};
  EXPECT_EQ(ids(), (std::vector<std::string>{"eigen-t1-fp32-b16", "eigen-t1-fp32-b16-2"}));
}

TEST_F(Compare, TheReferenceTakesPartOnlyWhenItIsNamed) {
  settings_.backends = {};
  for (const std::string& id : ids()) EXPECT_FALSE(id.starts_with("reference")) << id;
  settings_.backends = {"reference"};
  EXPECT_EQ(ids(), std::vector<std::string>{"reference-t1-fp32-b16"});
}

TEST_F(Compare, APrecisionThatABackendLacksIsNoted) {
  settings_.backends = {"eigen", "reference"};
  settings_.precisions = {"fp32", "bf16"};
  const Lineup lineup = lineup_of(settings_);
  EXPECT_EQ(lineup.entries.size(), 3u);
  ASSERT_EQ(lineup.notes.size(), 1u);
  EXPECT_NE(lineup.notes[0].find("bf16"), std::string::npos);
  settings_.backends = {"eigen"};
  settings_.precisions = {"bf16"};
  EXPECT_THROW(lineup_of(settings_), Error);
}

TEST_F(Compare, EachPrecisionIsHeldAgainstARoofOfItsOwn) {
  settings_.backends = {"reference"};
  settings_.precisions = {"fp32", "bf16", "fp16"};
  const Comparison comparison = compare();
  ASSERT_EQ(comparison.rows.size(), 3u);
  const std::unique_ptr<Backend> backend = open_backend("openmp");
  Machine machine(*backend);
  for (const Row& row : comparison.rows) {
    const graph::Precision precision = graph::precision_named(row.precision).value();
    ASSERT_TRUE(row.roof.fraction && row.roof.flops_per_second && row.roof.roof_flops_per_second) << row.id;
    EXPECT_DOUBLE_EQ(*row.roof.fraction, *row.roof.flops_per_second / *row.roof.roof_flops_per_second);
    if (!machine.has_products(precision))
      EXPECT_NE(row.roof.source.find("multiply-adds in fp32 "), std::string::npos) << row.id << ": " << row.roof.source;
    else if (row.roof.source.find("multiply-adds in fp32 ") == std::string::npos)
      EXPECT_GT(*row.roof.roof_flops_per_second, *comparison.rows[0].roof.roof_flops_per_second) << row.id << ": " << row.roof.source;
    else
      EXPECT_EQ(*row.roof.roof_flops_per_second, *comparison.rows[0].roof.roof_flops_per_second) << row.id << ": " << row.roof.source;
  }
}

TEST_F(Compare, AMissingRowSaysWhatIsMissing) {
  settings_.missing = {{"feature extraction", "no pre-trained weights"}};
  const Lineup lineup = lineup_of(settings_);
  ASSERT_EQ(lineup.absent.size(), 1u);
  EXPECT_EQ(lineup.absent[0].id, "feature-extraction");
  EXPECT_EQ(lineup.absent[0].reason, "no pre-trained weights");
}

TEST_F(Compare, EveryTrainingIsTheOneThatTrainMakes) {
  settings_.seeds = 2;
  const Comparison comparison = compare();
  ASSERT_EQ(comparison.rows.size(), 2u);
  for (const Row& row : comparison.rows) {
    ASSERT_EQ(row.runs.size(), 2u);
    for (const SeedRun& run : row.runs) {
      train::Recipe alone = settings_.recipe;
      alone.backend = row.backend;
      alone.threads = 1;
      alone.seed = run.seed;
      train::Callbacks silent;
      const train::TrainResult result = train::Trainer(alone, silent).train();
      const std::filesystem::path folder = run_.path("out") / (row.id + "-seed" + std::to_string(run.seed));
      EXPECT_EQ(Json::parse(read_file(folder / train::result_file)).at("weights_sha256"), train::weights_sha256(result.model.weights));
      ASSERT_EQ(run.epochs.size(), 3u);
      for (size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(run.epochs[i].train_loss, result.history[i].train.loss);
        EXPECT_EQ(run.epochs[i].valid_accuracy, result.history[i].valid->accuracy);
      }
    }
    EXPECT_EQ(row.test_accuracy.count, 2u);
    EXPECT_TRUE(row.test_accuracy.deviation);
    EXPECT_GT(*row.images_per_second.median, 0);
  }
  int64_t counted = 0;
  for (const std::vector<int64_t>& label : comparison.rows[0].runs[0].confusion)
    for (const int64_t count : label) counted += count;
  EXPECT_EQ(counted, 30);
}

TEST_F(Compare, RowsTakeTurnsInEveryRound) {
  const Comparison comparison = compare();
  for (const Row& row : comparison.rows) {
    std::set<int64_t> rounds;
    for (const Slice& slice : row.runs[0].slices) rounds.insert(slice.round);
    EXPECT_EQ(rounds.size(), row.runs[0].slices.size()) << "no round twice";
    EXPECT_GE(rounds.size(), least_rounds);
  }
  EXPECT_EQ(comparison.rows[0].speedup.ratio->ratio, 1);
  EXPECT_EQ(comparison.rows[1].speedup.against, comparison.rows[0].id);
  EXPECT_GE(comparison.rows[1].speedup.ratio->pairs, least_rounds);
  EXPECT_TRUE(comparison.rows[1].speedup.ratio->interval);
}

// Else what is known of two fast rows is as uncertain as the slow one that both were measured beside.
TEST_F(Compare, RowsAreHeldAgainstTheFastestByPairs) {
  settings_.backends = {"reference", "eigen", "openmp"};
  const Comparison comparison = compare();
  const Json json = Json::parse(json_of(comparison));
  size_t fastest = 0;
  for (size_t i = 1; i < 3; ++i)
    if (*comparison.rows[i].images_per_second.median > *comparison.rows[fastest].images_per_second.median) fastest = i;
  for (size_t i = 0; i < 3; ++i) {
    const Held& held = comparison.rows[i].against_fastest;
    const Json& written = json.at("rows")[i].at("against_fastest");
    EXPECT_EQ(held.against, comparison.rows[fastest].id);
    EXPECT_EQ(written.at("against"), held.against);
    EXPECT_EQ(written.at("pairs"), held.ratio->pairs);
    EXPECT_GE(held.ratio->pairs, least_rounds);
    EXPECT_EQ(held.ratio->interval.has_value(), i != fastest);
    EXPECT_EQ(written.at("verdict").is_null(), i == fastest);
    EXPECT_EQ(written.at("reason").is_null(), i != fastest);
  }
  EXPECT_EQ(comparison.rows[fastest].against_fastest.ratio->ratio, 1);
  ASSERT_NE(fastest, 0u) << "the reference is the slowest";
  EXPECT_NEAR(comparison.rows[0].against_fastest.ratio->ratio * comparison.rows[fastest].speedup.ratio->ratio, 1, 1e-9);
}

TEST_F(Compare, StepsMeasureSpeedAlone) {
  settings_.steps = 30;
  const Comparison comparison = compare();
  for (const Row& row : comparison.rows) {
    int64_t images = 0;
    for (const Slice& slice : row.runs[0].slices) images += slice.images;
    EXPECT_GE(images, 30 * 16);
    EXPECT_FALSE(row.test_accuracy.mean);
    EXPECT_NE(row.test_accuracy.reason, "");
    EXPECT_FALSE(is_there(run_.path("out") / row.id)) << "nothing is kept of such a run";
  }
}

TEST_F(Compare, ATargetEndsATrainingAndSaysWhenItWasReached) {
  settings_.target_accuracy = 0.01;
  settings_.recipe.epochs = 50;
  const Comparison reached = compare();
  for (const Row& row : reached.rows) {
    EXPECT_LT(row.runs[0].epochs.size(), 50u);
    EXPECT_EQ(*row.seconds_to_target.median, row.runs[0].epochs.back().end_seconds);
    EXPECT_EQ(row.seconds_to_target.reason, "");
  }
  settings_.target_accuracy = 1.0;
  settings_.recipe.epochs = 2;
  const Comparison missed = compare();
  for (const Row& row : missed.rows) {
    EXPECT_FALSE(row.seconds_to_target.median);
    EXPECT_EQ(row.seconds_to_target.reason, "1 of 1 trainings did not reach 1 in 2 epochs");
  }
}

TEST_F(Compare, ABatchThatDoesNotFitIsRefusedWithTheOneThatDoes) {
  settings_.recipe.memory_limit = "40 KiB";
  settings_.batches = {8, 40};
  settings_.backends = {"eigen"};
  const Comparison comparison = compare();
  ASSERT_EQ(comparison.rows.size(), 2u);
  EXPECT_EQ(comparison.rows[0].status, RowStatus::ran) << comparison.rows[0].reason;
  const Row& refused = comparison.rows[1];
  EXPECT_EQ(refused.status, RowStatus::refused);
  EXPECT_NE(refused.reason.find("the largest batch that fits is "), std::string::npos) << refused.reason;
  EXPECT_GT(*refused.predicted_bytes.value, 40 * 1024);
  EXPECT_FALSE(refused.images_per_second.median);
}

TEST_F(Compare, ABatchLargerThanTheTrainingDataIsWarnedOfOnce) {
  struct Listener final : CompareWatcher {
    void on_warning(const std::string& text) override { warnings.push_back(text); }
    std::vector<std::string> warnings;
  } listener;
  settings_.batches = {40, 1024};
  settings_.backends = {"eigen"};
  settings_.seeds = 2;
  const Comparison comparison = study::compare(settings_, run_.path("out"), listener);
  const std::vector<std::string> expected = {
      "eigen-t1-fp32-b1024: batch 1024 is larger than the 40 training images: its steps have 40 images"};
  EXPECT_EQ(listener.warnings, expected);
  EXPECT_EQ(comparison.notes, expected);
  EXPECT_EQ(comparison.rows[1].batch, 40);
}

// The host, but perhaps so small that only one training fits at a time.
class SmallDevice final : public Device {
 public:
  static inline size_t taken = 0, room = 0;
  static inline int64_t allocations = 0;
  static inline std::string called;
  static inline bool gives_none = false;

  std::string name() const override { return called; }
  std::string platform() const override { return "small"; }
  std::unique_ptr<Stream> make_stream() override { return host_->make_stream(); }
  std::unique_ptr<fovea::Memory> allocate(size_t bytes) override {
    ++allocations;
    if (gives_none) throw Error(ExitCode::memory, "none is given");
    return std::make_unique<Counted>(host_->allocate(bytes));
  }
  std::unique_ptr<fovea::Memory> resident(std::span<const std::byte> host, Stream& stream) override {
    return host_->resident(host, stream);
  }
  void upload(void* to, const void* from, size_t bytes, Stream& stream) override { host_->upload(to, from, bytes, stream); }
  void download(void* to, const void* from, size_t bytes, Stream& stream) override { host_->download(to, from, bytes, stream); }
  void fill(void* to, std::byte value, size_t bytes, Stream& stream) override { host_->fill(to, value, bytes, stream); }
  MemoryStatus memory_status() const override { return {room - taken, room, 0}; }

 private:
  class Counted final : public fovea::Memory {
   public:
    explicit Counted(std::unique_ptr<fovea::Memory> inner) : inner_(std::move(inner)) { taken += inner_->bytes(); }
    ~Counted() override { taken -= inner_->bytes(); }
    void* data() const override { return inner_->data(); }
    size_t bytes() const override { return inner_->bytes(); }

   private:
    std::unique_ptr<fovea::Memory> inner_;
  };
  std::unique_ptr<Device> host_ = make_host_device();
};

class OnSmallDevice final : public train::MakesAsInner<Op> {
 public:
  using train::MakesAsInner<Op>::MakesAsInner;
  std::string_view name() const override { return inner().name(); }
  Device& device() override { return device_; }
  std::optional<Claim> claim(const Neighbours& neighbours, const Limits& limits) override { return inner().claim(neighbours, limits); }

 private:
  SmallDevice device_;
};

struct Small : CompareWatcher {
  std::unique_ptr<Backend> backend_of(const Entry& entry) override { return std::make_unique<OnSmallDevice>(open_backend(entry.backend)); }
  void on_stage(const std::string&) override { ++groups; }
  int groups = 0;
};

TEST_F(Compare, RowsThatTheMemoryDoesNotHoldTogetherComeOneAfterAnother) {
  Small small;
  SmallDevice::called = "small";
  SmallDevice::room = (64 << 20) + (40 << 10);  // what is left to others, and 40 KiB
  const Comparison comparison = study::compare(settings_, run_.path("out"), small);
  EXPECT_EQ(small.groups, 2);
  std::set<int64_t> rounds;
  size_t slices = 0;
  for (const Row& row : comparison.rows) {
    EXPECT_EQ(row.status, RowStatus::ran) << row.reason;
    EXPECT_EQ(row.test_accuracy.count, 1u);
    EXPECT_GT(*row.peak_device_bytes.value, 20 << 10);
    for (const Slice& slice : row.runs[0].slices) rounds.insert(slice.round);
    slices += row.runs[0].slices.size();
  }
  EXPECT_EQ(rounds.size(), slices) << "no round has both";
  EXPECT_TRUE(comparison.rows[1].speedup.ratio->interval) << "of the medians";
  EXPECT_EQ(SmallDevice::taken, 0u);
}

TEST_F(Compare, OnTheHostEveryTurnHasMemoryElsewhere) {
  settings_.backends = {"eigen"};
  SmallDevice::room = size_t{1} << 30;
  for (const std::string& name : {make_host_device()->name(), std::string("a GPU")}) {
    for (const std::optional<int64_t> steps : {std::optional<int64_t>(), std::optional<int64_t>(5)}) {
      Small small;
      SmallDevice::called = name;
      SmallDevice::allocations = 0;
      settings_.steps = steps;
      const Comparison comparison = study::compare(settings_, run_.path("out"), small);
      const int64_t turns = name == "a GPU" ? 0 : comparison.rows[0].runs[0].rounds;
      const auto arenas = static_cast<int64_t>(plan::arena_count);
      EXPECT_EQ(SmallDevice::allocations, arenas * (1 + turns)) << name << (steps ? ", speed alone" : "");
      EXPECT_EQ(SmallDevice::taken, 0u);
    }
  }
}

TEST_F(Compare, MemoryThatIsNotThereTwiceDoesNotMove) {
  struct Full final : Small {
    void on_stage(const std::string&) override { SmallDevice::room = SmallDevice::taken + 1000; }
  } full;
  settings_.backends = {"eigen"};
  SmallDevice::called = make_host_device()->name();
  SmallDevice::room = size_t{1} << 30;
  SmallDevice::allocations = 0;
  study::compare(settings_, run_.path("out"), full);
  EXPECT_EQ(SmallDevice::allocations, static_cast<int64_t>(plan::arena_count));
}

// What the only row says of its memory, and how often it moved.
class Moves : public Compare {
 protected:
  static constexpr auto arenas = static_cast<int64_t>(plan::arena_count);
  Moves() {
    settings_.backends = {"eigen"};
    SmallDevice::called = make_host_device()->name();
    SmallDevice::room = size_t{4} << 30;
  }
  void compare_on(CompareWatcher& watcher) {
    SmallDevice::allocations = 0;
    comparison_ = study::compare(settings_, run_.path("out"), watcher);
    EXPECT_EQ(comparison_.rows[0].status, RowStatus::ran) << comparison_.rows[0].reason;
  }
  void expect_stayed(std::string_view why) {
    EXPECT_EQ(SmallDevice::allocations, arenas * settings_.seeds);
    ASSERT_EQ(comparison_.notes.size(), 1u);
    const std::string& note = comparison_.notes[0];
    EXPECT_TRUE(note.starts_with("row " + comparison_.rows[0].id + ": its memory of ")) << note;
    EXPECT_NE(note.find(" MiB did not move: "), std::string::npos) << note;
    EXPECT_NE(note.find(why), std::string::npos) << note;
  }
  void expect_moved() {
    EXPECT_GT(SmallDevice::allocations, arenas * settings_.seeds);
    EXPECT_TRUE(comparison_.notes.empty()) << comparison_.notes[0];
  }
  Comparison comparison_;
};

TEST_F(Moves, WithinTheMemoryThatIsFreeLessWhatIsLeftToOthers) {
  struct Filling final : Small {
    void on_stage(const std::string&) override { SmallDevice::room = SmallDevice::taken + (64 << 20) + more(); }
    size_t more() const { return all_of_it ? SmallDevice::taken : 1000; }
    bool all_of_it = false;
  } filling;
  settings_.seeds = 2;
  compare_on(filling);
  expect_stayed(" more are free");
  filling.all_of_it = true;
  SmallDevice::room = size_t{1} << 30;
  compare_on(filling);
  expect_moved();
}

TEST_F(Moves, WithinTheMemoryLimit) {
  Small small;
  compare_on(small);
  expect_moved();
  const double needed = *comparison_.rows[0].predicted_bytes.value / 1024;
  settings_.recipe.memory_limit = fmt::format("{} KiB", 1.1 * needed);
  compare_on(small);
  expect_stayed(" more are allowed by memory_limit");
  settings_.recipe.memory_limit = fmt::format("{} KiB", 2 * needed);
  compare_on(small);
  expect_moved();
}

TEST_F(Moves, WhereItFailsTheTrainingGoesOn) {
  struct Failing final : Small {
    void on_stage(const std::string&) override { SmallDevice::gives_none = true; }
  } failing;
  compare_on(failing);
  SmallDevice::gives_none = false;
  EXPECT_EQ(SmallDevice::allocations, arenas + comparison_.rows[0].runs[0].rounds) << "one failed before each turn";
  ASSERT_EQ(comparison_.notes.size(), 1u);
  EXPECT_TRUE(comparison_.notes[0].ends_with(" did not move: none is given")) << comparison_.notes[0];
  train::Callbacks silent;
  train::Recipe alone = settings_.recipe;
  alone.threads = 1;
  EXPECT_EQ(Json::parse(read_file(run_.path("out") / comparison_.rows[0].id / train::result_file)).at("weights_sha256"),
            train::weights_sha256(train::Trainer(alone, silent).train().model.weights));
}

TEST_F(Moves, NotMoreThan256MiB) {
  settings_.recipe.model = run_.path("wide.toml").string();
  settings_.recipe.momentum = 0.9;
  settings_.batches = {1};
  settings_.steps = 1;
  settings_.extra_seconds = 0;
  Small small;
  for (const double mebibytes : {248, 264}) {  // weights, gradients and moments; 4 MiB more are for activations
    const auto outputs = static_cast<int64_t>((mebibytes - 4) * (1 << 20) / (3 * sizeof(float) * (64 + 1 + 4)));
    run_.plant("wide.toml", fmt::format(R"(name = "wide"
input = [8, 8, 1]
layers = [{{ flatten = true }}, {{ linear = {}, activation = "relu" }}, {{ linear = 4 }}]
)",
                                        outputs));
    compare_on(small);
    EXPECT_NEAR(*comparison_.rows[0].predicted_bytes.value / (1 << 20), mebibytes, 6);
    mebibytes < 256 ? expect_moved() : expect_stayed("more than 256.00 MiB have many places at once");
  }
}

TEST_F(Compare, WhatWasDoneBeforeAStopIsReported) {
  struct StopLater final : CompareWatcher {
    void on_round(int64_t done, int64_t) override { rounds = done; }
    bool stop_requested() override { return rounds >= 3; }
    int64_t rounds = 0;
  } stop;
  settings_.recipe.epochs = 1000;
  const Comparison comparison = study::compare(settings_, run_.path("out"), stop);
  EXPECT_TRUE(comparison.interrupted);
  ASSERT_TRUE(comparison.rows[0].images_per_second.median);
  EXPECT_GT(*comparison.rows[0].images_per_second.median, 0);
  EXPECT_FALSE(comparison.rows[0].test_accuracy.mean);
  EXPECT_FALSE(comparison.rows[0].runs[0].train_seconds);
}

TEST_F(Compare, JsonHasAReasonForWhateverIsUnknown) {
  settings_.missing = {{"feature extraction", "no pre-trained weights"}};
  const Json json = Json::parse(json_of(compare()));
  EXPECT_EQ(json.at("schema"), "fovea.comparison/1");
  EXPECT_EQ(json.at("question").at("image"), "8 x 8 x 1");
  EXPECT_EQ(json.at("rows").size(), 3u);
  for (const Json& row : json.at("rows")) {
    if (row.at("status") != "ran") {
      EXPECT_TRUE(row.at("reason").is_string());
      continue;
    }
    for (const char* key : {"images_per_second", "ms_per_step", "s_per_epoch", "time_to_target_s"})
      EXPECT_NE(row.at(key).at("median").is_null(), row.at(key).at("reason").is_null()) << key;
    for (const char* key : {"train_accuracy", "valid_accuracy", "test_accuracy"})
      EXPECT_NE(row.at(key).at("mean").is_null(), row.at(key).at("reason").is_null()) << key;
    for (const char* key : {"peak_host_bytes", "peak_device_bytes", "predicted_bytes"})
      EXPECT_NE(row.at(key).is_null(), row.contains(std::string(key) + "_reason") == false) << key;
    EXPECT_NE(row.at("energy").at("gross_joules").is_null() && row.at("energy").at("reason").is_null(), true);
    EXPECT_GT(row.at("roof").at("fraction").get<double>(), 0);
  }
}

}  // namespace
}  // namespace fovea::study
