// Validation parts, mean and deviation, yes-or-no questions.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "fovea/base/philox.h"
#include "fovea/data/dataset.h"
#include "tests/data/data_folder.h"

namespace fovea::data {
namespace {

Images random_images(int64_t count, int64_t h, int64_t w, int64_t c) {
  Images images = make_images(count, h, w, c);
  for (size_t i = 0; i < images.pixels.size(); ++i) {
    const uint32_t bits = philox(9, Draw::test, static_cast<uint32_t>(i), 0, 0).v[0];
    images.pixels[i] = static_cast<uint8_t>(i % static_cast<size_t>(c) == 0 ? bits : bits >> 28);  // channels that differ
  }
  for (size_t i = 0; i < images.labels.size(); ++i) images.labels[i] = static_cast<int32_t>(i);
  return images;
}

TEST(Split, parts_are_disjoint_cover_all_and_carry_their_pixels) {
  const Images images = random_images(503, 3, 2, 2);
  const Split parts = split(images, 0.2, 5);
  EXPECT_EQ(parts.valid.count, 101);  // round(100.6)
  EXPECT_EQ(parts.train.count, 402);
  std::set<int32_t> seen;
  for (const Images* part : {&parts.train, &parts.valid}) {
    EXPECT_TRUE(std::ranges::is_sorted(part->labels));
    for (int64_t i = 0; i < part->count; ++i) {
      const int32_t id = part->labels[static_cast<size_t>(i)];
      EXPECT_TRUE(seen.insert(id).second) << id;
      EXPECT_TRUE(std::ranges::equal(part->image(i), images.image(id))) << id;
    }
  }
  EXPECT_EQ(seen.size(), 503u);
}

TEST(Split, depends_on_the_seed_alone) {
  const Images images = random_images(300, 1, 1, 1);
  const std::vector<int32_t> first = split(images, 0.1, 5).valid.labels;
  EXPECT_EQ(split(images, 0.1, 5).valid.labels, first);
  EXPECT_NE(split(images, 0.1, 6).valid.labels, first);
}

TEST(Split, is_spread_over_the_whole_set) {
  const std::vector<int32_t> chosen = split(random_images(10'000, 1, 1, 1), 0.5, 1).valid.labels;
  const auto in_first_half = std::ranges::count_if(chosen, [](int32_t id) { return id < 5000; });
  EXPECT_NEAR(static_cast<double>(in_first_half), 2500, 5 * 25);  // five standard deviations of the hypergeometric distribution
}

TEST(Split, refuses_empty_parts) {
  const Images images = random_images(10, 1, 1, 1);
  for (const double fraction : {0.0, 1.0, -0.5, 1.5, 0.01, 0.99, std::nan("")}) {
    const std::string text = error_text(ExitCode::config, [&] { split(images, fraction, 1); });
    EXPECT_NE(text.find("of 10 images leaves a part empty"), std::string::npos) << text;
  }
}

struct Size {
  int64_t count, h, w, c;
};

TEST(MeanAndStd, equals_the_textbook_on_any_number_of_threads) {
  for (const auto [count, h, w, c] : {Size{700, 28, 28, 1}, Size{101, 17, 15, 3}, Size{3, 5, 7, 4}, Size{50, 9, 3, 5}, Size{1, 1, 1, 2}}) {
    const Images images = random_images(count, h, w, c);
    const MeanStd one = mean_and_std(images, 1);
    ASSERT_EQ(one.mean.size(), static_cast<size_t>(c));
    for (size_t channel = 0; channel < static_cast<size_t>(c); ++channel) {
      double sum = 0, squares = 0;
      const double pixels = static_cast<double>(count * h * w);
      for (size_t i = channel; i < images.pixels.size(); i += static_cast<size_t>(c)) sum += images.pixels[i] / 255.0;
      for (size_t i = channel; i < images.pixels.size(); i += static_cast<size_t>(c)) {
        squares += (images.pixels[i] / 255.0 - sum / pixels) * (images.pixels[i] / 255.0 - sum / pixels);
      }
      EXPECT_NEAR(one.mean[channel], sum / pixels, 1e-11) << c << " channels";
      EXPECT_NEAR(one.std[channel], std::sqrt(squares / pixels), 1e-11) << c << " channels";
    }
    for (const int threads : {2, 3, 8}) {
      EXPECT_EQ(mean_and_std(images, threads).mean, one.mean);
      EXPECT_EQ(mean_and_std(images, threads).std, one.std);
    }
  }
}

TEST(MeanAndStd, does_not_overflow_on_white) {  // 255^2 * 65536 is just below 2^32 in every lane
  Images images = make_images(400, 160, 160, 1);
  std::ranges::fill(images.pixels, uint8_t{255});
  const MeanStd result = mean_and_std(images, 1);
  EXPECT_EQ(result.mean, std::vector{1.0});
  EXPECT_EQ(result.std, std::vector{0.0});
}

Dataset three_classes() {
  Dataset dataset;
  dataset.spec = "three";
  dataset.title = "three (synthetic)";
  dataset.classes = {"cat", "dog", "fox"};
  dataset.train.labels = {0, 1, 2, ignored_label, 2};
  dataset.test.labels = {2, 1, 0};
  return dataset;
}

TEST(Binary, named_classes_become_one_and_the_others_zero) {
  const Dataset dataset = binary(three_classes(), std::vector<std::string>{"cat", "fox"});
  EXPECT_EQ(dataset.train.labels, (std::vector<int32_t>{1, 0, 1, ignored_label, 1}));
  EXPECT_EQ(dataset.test.labels, (std::vector<int32_t>{1, 0, 1}));
  EXPECT_EQ(dataset.classes, (std::vector<std::string>{"not cat or fox", "cat or fox"}));
  EXPECT_EQ(dataset.title, "three (synthetic): cat, fox or not");
}

TEST(Binary, refuses_unknown_none_and_all) {
  const auto text_for = [](const std::vector<std::string>& positive) {
    return error_text(ExitCode::config, [&] { binary(three_classes(), positive); });
  };
  EXPECT_NE(text_for({"cow"}).find("`three` has no class `cow`\n  help: its classes are: cat, dog, fox"), std::string::npos);
  EXPECT_NE(text_for({}).find("0 of 3 classes"), std::string::npos);
  EXPECT_NE(text_for({"dog", "fox", "cat"}).find("3 of 3 classes"), std::string::npos);
}

TEST(MakeImages, says_when_there_is_no_memory) {
  const std::string text = error_text(ExitCode::memory, [] { make_images(1'000'000'000, 65'536, 65'536, 3); });
  EXPECT_NE(text.find("no memory for 1000000000 images of 65536 x 65536 x 3"), std::string::npos) << text;
}

}  // namespace
}  // namespace fovea::data
