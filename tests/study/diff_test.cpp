// Backends compared part by part: the right ones agree, and a spoiled one is found where it is spoiled and nowhere else.
#include "fovea/study/diff.h"

#include <gtest/gtest.h>

#include <limits>

#include "fovea/backend/eigen/backend.h"
#include "fovea/backend/registry.h"
#include "fovea/data/synthetic.h"
#include "tests/data/data_folder.h"

namespace fovea::study {
namespace {

struct Setting {
  std::string model = "lenet5";
  train::Recipe recipe;
  int64_t steps = 1;
};

Diff diff_of(Backend& a, Backend& b, Setting setting) {
  const model::Network network = model::load_network(setting.model);
  setting.recipe.batch = 4;
  setting.recipe.threads = 2;
  const data::Images images =
      data::synthetic({.h = network.h, .w = network.w, .c = network.c, .classes = 10, .train = 4 * setting.steps, .test = 1}, 1).train;
  return diff(a, b, {network, setting.recipe, images, setting.steps});
}

Diff diff_of(Backend& a, Backend& b) {
  const Setting setting;
  return diff_of(a, b, setting);
}

Setting without_claims() {
  Setting setting;
  setting.recipe.claims = train::Switch::off;
  return setting;
}

int64_t count_beyond(const Diff& diff) {
  return std::count_if(diff.parts.begin(), diff.parts.end(), [](const PartDiff& part) { return !part.within(); });
}

TEST(Diff, OfABackendWithItselfHasTheSameBits) {
  const std::unique_ptr<Backend> a = open_backend("reference"), b = open_backend("reference");
  const Diff result = diff_of(*a, *b);
  for (const PartDiff& part : result.parts) EXPECT_TRUE(part.same_bits()) << part.layer << " " << part.what();
  EXPECT_EQ(result.parts.size(), 41u);
  EXPECT_TRUE(result.not_compared.empty());
}

// Several steps of every network that fits a test, with claims and without, in both directions.
TEST(Diff, FindsEveryBackendWithinTolerance) {
  for (const BackendEntry& entry : list_backends()) {
    if (entry.name == "reference" || !entry.absent_because.empty()) continue;
    const std::unique_ptr<Backend> reference = open_backend("reference"), other = open_backend(entry.name);
    for (const std::string model : {"lenet5", "mlp", "cifar_cnn"})
      for (const train::Switch claims : {train::Switch::on, train::Switch::off}) {
        Setting setting;
        setting.model = model;
        setting.steps = 2;
        setting.recipe.optimizer = "adam";
        setting.recipe.micro_batches = 2;
        setting.recipe.clip_norm = 1;
        setting.recipe.ema_decay = 0.9;
        setting.recipe.claims = claims;
        EXPECT_NO_THROW(require_within(diff_of(*reference, *other, setting))) << entry.name << " " << model;
        EXPECT_NO_THROW(require_within(diff_of(*other, *reference, setting))) << entry.name << " " << model;
      }
  }
}

// Windows side by side and overlapping, at the edges and across them, behind activations that a gradient can tell from the pooling and that
// it cannot, over channels that are read by eights, by fours and one by one.
TEST(Diff, FindsPoolsBehindActivationsWithinTolerance) {
  const model::Network network = model::parse_network(R"(
name = "pools"
input = [33, 37, 3]
loss = "binary_cross_entropy"
layers = [
  { conv2d = 16, kernel = 3, padding = 1, activation = "relu" },
  { max_pool = 3, stride = 2, padding = 1 },
  { conv2d = 24, kernel = 3, padding = 1, activation = "relu" },
  { max_pool = 3, stride = 2 },
  { conv2d = 15, kernel = 3, padding = 1, activation = "relu" },
  { max_pool = 2 },
  { conv2d = 16, kernel = 3, padding = 1, activation = "leaky_relu" },
  { max_pool = 2, padding = 1 },
  { conv2d = 12, kernel = 1, activation = "gelu" },
  { max_pool = 3 },
  { flatten = true },
  { linear = 64, activation = "relu" },
  { dropout = 0.5 },
  { linear = 1 },
]
)",
                                                      "pools.toml");
  const data::Images images = data::synthetic({.h = 33, .w = 37, .c = 3, .classes = 2, .train = 16, .test = 1}, 1).train;
  const std::unique_ptr<Backend> reference = open_backend("reference");
  for (const BackendEntry& entry : list_backends()) {
    if (entry.name == "reference" || !entry.absent_because.empty()) continue;
    const std::unique_ptr<Backend> other = open_backend(entry.name);
    for (const std::string precision : {"fp32", "bf16", "fp16"}) {
      if (precision != "fp32" && entry.precisions != Precisions::all) continue;
      train::Recipe recipe;
      recipe.batch = 8;
      recipe.threads = 2;
      recipe.precision = precision;
      EXPECT_NO_THROW(require_within(diff(*reference, *other, {network, recipe, images, 2}))) << entry.name << " " << precision;
    }
  }
}

TEST(Diff, AlignsAClaimWithTheStepsThatItStandsFor) {
  const std::unique_ptr<Backend> reference = open_backend("reference"), eigen = open_backend("eigen");
  const Diff fused = diff_of(*reference, *eigen), plain = diff_of(*reference, *eigen, without_claims());
  EXPECT_EQ(plain.parts.size(), 41u);
  ASSERT_LT(fused.parts.size(), plain.parts.size());
  EXPECT_EQ(fused.parts[1].layer, "conv1");
  EXPECT_EQ(fused.parts[1].what_a, "conv2d_forward, bias_forward, activation_forward, max_pool_forward");
  EXPECT_EQ(fused.parts[1].what_b, "conv2d+bias+relu+max_pool");
  ASSERT_EQ(fused.parts[1].values.size(), 2u);  // what lies between is in one of the two only
  EXPECT_EQ(fused.parts[1].values[0].value, "pool1.max_pool_forward");
}

// Adds to one element of an output after each run.
class Spoiled final : public Kernel {
 public:
  Spoiled(KernelPtr inner, size_t output, size_t element, float by)
      : Kernel("eigen"), inner_(std::move(inner)), output_(output), element_(element), by_(by) {}
  std::string algorithm() const override { return inner_->algorithm(); }
  size_t workspace_bytes() const override { return inner_->workspace_bytes(); }
  void bind(Buffers buffers, void* workspace) override {
    at_ = &buffers.out[output_].as<float>()[element_];
    inner_->bind(std::move(buffers), workspace);
  }
  void run(Stream& stream) override {
    inner_->run(stream);
    *at_ += by_;
  }

 private:
  KernelPtr inner_;
  size_t output_, element_;
  float by_;
  float* at_ = nullptr;
};

class SpoiledEigen final : public eigen::EigenBackend {
 public:
  using eigen::EigenBackend::make;
  KernelPtr make(const LinearForward& op, const Limits& limits) override {
    KernelPtr kernel = EigenBackend::make(op, limits);
    if (op.shape.k != 84) return kernel;
    return std::make_unique<Spoiled>(std::move(kernel), 0, 2 * 84 + 7, by);
  }
  KernelPtr make(const Update& op, const Limits& limits) override {
    return std::make_unique<Spoiled>(EigenBackend::make(op, limits), 3, 5, by_of_update);
  }
  float by = 0, by_of_update = 0;
};

TEST(Diff, NamesLayerElementAndBothValues) {
  const std::unique_ptr<Backend> reference = open_backend("reference");
  SpoiledEigen spoiled;
  spoiled.by = 0.01f;
  const Diff result = diff_of(*reference, spoiled);
  EXPECT_EQ(count_beyond(result), 1);  // what comes later is given the right values
  const auto part = std::find_if(result.parts.begin(), result.parts.end(), [](const PartDiff& one) { return !one.within(); });
  EXPECT_EQ(part->layer, "linear2");
  EXPECT_EQ(part->what(), "linear_forward");
  const Worst& worst = part->values.at(0).worst;
  EXPECT_EQ(worst.at, (std::vector<int64_t>{2, 7}));
  EXPECT_NEAR(worst.b - worst.a, 0.01, 1e-4);
  EXPECT_NEAR(worst.absolute, 0.01, 1e-4);
  EXPECT_GT(worst.ulps, 100);
  const std::string text = data::error_text(ExitCode::target, [&] { require_within(result); });
  for (const std::string says : {"reference and eigen differ first in layer `linear2`", "linear_forward", "(2, 7)", "(4, 84)", "ULP"})
    EXPECT_NE(text.find(says), std::string::npos) << text;
}

// The tolerance is the case table's: with 120 terms, (2 + 2 sqrt(120)) u of sum |x w|.
TEST(Diff, LeavesARoundingErrorAlone) {
  const std::unique_ptr<Backend> reference = open_backend("reference");
  SpoiledEigen spoiled;
  spoiled.by = 3e-7f;
  const Diff result = diff_of(*reference, spoiled);
  EXPECT_EQ(count_beyond(result), 0);
  EXPECT_NO_THROW(require_within(result));
}

TEST(Diff, SeesWhatTheUpdateDoesAndNaN) {
  const std::unique_ptr<Backend> reference = open_backend("reference");
  SpoiledEigen spoiled;
  spoiled.by_of_update = 1e-4f;
  Setting setting;
  setting.steps = 3;
  const Diff result = diff_of(*reference, spoiled, setting);
  EXPECT_EQ(count_beyond(result), 3);  // once in each training step
  for (const PartDiff& part : result.parts) EXPECT_EQ(part.within(), part.layer != "update");
  spoiled.by_of_update = 0;
  spoiled.by = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(count_beyond(diff_of(*reference, spoiled)), 1);
}

}  // namespace
}  // namespace fovea::study
