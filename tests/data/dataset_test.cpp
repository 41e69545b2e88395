// The text that asks for a data set: what each kind gives, and what is refused with which words.
#include "fovea/data/dataset.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "fovea/data/digits.h"
#include "fovea/data/synthetic.h"
#include "tests/data/data_folder.h"

namespace fovea::data {
namespace {

TEST(Load, digits_with_and_without_a_seed) {
  const Dataset plain = load("digits"), seeded = load("digits:1");
  EXPECT_EQ(plain.spec, "digits");
  EXPECT_EQ(plain.title, "digits (synthetic, seed 1)");
  EXPECT_EQ(plain.train.count, 60'000);
  EXPECT_EQ(plain.test.count, 10'000);
  EXPECT_TRUE(plain.train.pixels == seeded.train.pixels);
  const DigitsRequest other{.seed = 2, .train = 100, .test = 10, .threads = 1};
  EXPECT_FALSE(std::equal(plain.train.labels.begin(), plain.train.labels.begin() + 100, digits(other).train.labels.begin()));
}

TEST(Load, synthetic_sizes_and_counts) {
  const Dataset dataset = load("synthetic:5x7x3:4:30:20");
  EXPECT_EQ((std::vector{dataset.train.count, dataset.train.h, dataset.train.w, dataset.train.c}), (std::vector<int64_t>{30, 5, 7, 3}));
  EXPECT_EQ(dataset.test.count, 20);
  EXPECT_EQ(dataset.classes.size(), 4u);
  EXPECT_EQ(dataset.train.pixels.size(), 30u * 5 * 7 * 3);
  EXPECT_EQ(std::ranges::max(dataset.train.labels), 3);
  EXPECT_EQ(std::ranges::min(dataset.train.labels), 0);
  EXPECT_NE(dataset.title.find("synthetic"), std::string::npos);
  EXPECT_EQ(load("synthetic:1x1x1:2").train.count, 10'000);
  EXPECT_EQ(load("synthetic:1x1x1:2").test.count, 1'000);
  EXPECT_EQ(load("synthetic:1x1x1:2:7").train.count, 7);
}

TEST(Load, synthetic_pixels_are_uniform_distinct_and_the_same_for_any_number_of_threads) {
  const SyntheticShape shape{.h = 9, .w = 7, .c = 3, .classes = 5, .train = 200, .test = 50};
  const Dataset one = synthetic(shape, 1), three = synthetic(shape, 3);
  EXPECT_TRUE(one.train.pixels == three.train.pixels && one.train.labels == three.train.labels);
  EXPECT_TRUE(one.test.pixels == three.test.pixels && one.test.labels == three.test.labels);
  EXPECT_FALSE(std::ranges::equal(one.train.image(0), one.train.image(1)));
  EXPECT_FALSE(std::ranges::equal(one.train.image(0), one.test.image(0)));
  const MeanStd spread = mean_and_std(one.train, 1);
  for (size_t channel = 0; channel < 3; ++channel) {
    EXPECT_NEAR(spread.mean[channel], 0.5, 0.02);
    EXPECT_NEAR(spread.std[channel], std::sqrt(1.0 / 12), 0.02);
  }
}

TEST(Load, finds_the_folder_behind_the_first_colon) {
  const DataFolder folder;
  const std::string inner = (folder.path() / "with:colon").string();
  for (const std::string kind : {"mnist", "cifar10"}) {
    const std::string text = error_text(ExitCode::data, [&] { load(kind + ":" + inner); });
    EXPECT_NE(text.find("there is no folder `" + inner + "`"), std::string::npos) << text;
  }
}

TEST(Load, refuses_with_the_list_of_kinds) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "there is no kind ``"},
      {"imagenet:x", "there is no kind `imagenet`"},
      {"Digits", "there is no kind `Digits`"},
      {"mnist", "`mnist` needs the folder of its files, as in mnist:data/mnist"},
      {"cifar10:", "`cifar10` needs the folder of its files, as in cifar10:data/cifar10"},
      {"digits:", "the seed `` is not a whole number"},
      {"digits:-1", "the seed `-1` is not a whole number"},
      {"digits:1x", "the seed `1x` is not a whole number"},
      {"digits:99999999999999999999", "the seed `99999999999999999999` is not a whole number"},
      {"synthetic", "expected sizes and classes"},
      {"synthetic:32x32x3", "expected sizes and classes"},
      {"synthetic:32x32:10", "expected sizes and classes"},
      {"synthetic:32x32x3:10:1:1:1", "expected sizes and classes"},
      {"synthetic:32x0x3:10", "the width is `0`, which is not a whole number from 1 to 65536"},
      {"synthetic:32xx3:10", "the width is ``"},
      {"synthetic:-3x4x3:10", "the height is `-3`"},
      {"synthetic:3x4x3.5:10", "the number of channels is `3.5`"},
      {"synthetic:3x4x3:ten", "the number of classes is `ten`"},
      {"synthetic:3x4x3:10:0", "the number of training images is `0`"},
      {"synthetic:3x4x3:10:1:1000000001", "the number of test images is `1000000001`"},
  };
  for (const auto& [spec, expected] : cases) {
    const std::string text = error_text(ExitCode::data, [&asked = spec] { load(asked); });
    EXPECT_NE(text.find("error[E0301]: data set `" + spec + "`: " + expected), std::string::npos) << text;
    EXPECT_NE(text.find("help: ask for one of: digits[:SEED], mnist:DIR, cifar10:DIR, synthetic:HxWxC:CLASSES[:TRAIN[:TEST]]"),
              std::string::npos)
        << text;
  }
}

}  // namespace
}  // namespace fovea::data
