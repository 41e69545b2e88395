// Drawn digits: the same bits everywhere, and what a person would call digits in the middle of the image.
#include "fovea/data/digits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>

#include "fovea/base/sha256.h"

namespace fovea::data {
namespace {

DigitsRequest request(int threads, uint64_t seed = 1) { return {.seed = seed, .train = 2000, .test = 500, .threads = threads}; }

TEST(Digits, same_bits_for_any_number_of_threads) {
  const Dataset one = digits(request(1));
  for (const int threads : {2, 3, 7}) {
    const Dataset many = digits(request(threads));
    EXPECT_TRUE(many.train.pixels == one.train.pixels && many.test.pixels == one.test.pixels) << threads << " threads";
    EXPECT_TRUE(many.train.labels == one.train.labels && many.test.labels == one.test.labels) << threads << " threads";
  }
}

// The arithmetic is exact IEEE, so the pixels are part of what a recorded result means. A new value here makes old records incomparable.
TEST(Digits, the_pixels_of_seed_1_are_these) {
  const Dataset dataset = digits({.seed = 1, .train = 500, .test = 1, .threads = 2});
  EXPECT_EQ(sha256(std::as_bytes(std::span(dataset.train.pixels))), "e6733af9fb92292af7ea438a9009fd7fccc16bb151eead25f42c05e10acd4fd6");
}

TEST(Digits, a_small_set_is_the_beginning_of_a_large_one) {
  const Dataset large = digits(request(2)), small = digits({.seed = 1, .train = 100, .test = 10, .threads = 2});
  EXPECT_TRUE(std::equal(small.train.pixels.begin(), small.train.pixels.end(), large.train.pixels.begin()));
  EXPECT_TRUE(std::equal(small.test.labels.begin(), small.test.labels.end(), large.test.labels.begin()));
}

TEST(Digits, no_image_comes_twice_in_train_test_or_another_seed) {
  std::set<std::string> seen;  // SHA-256
  size_t drawn = 0;
  for (const uint64_t seed : {1, 2}) {
    const Dataset dataset = digits(request(2, seed));
    for (const Images* part : {&dataset.train, &dataset.test}) {
      for (int64_t i = 0; i < part->count; ++i) seen.insert(sha256(std::as_bytes(part->image(i))));
      drawn += static_cast<size_t>(part->count);
    }
  }
  EXPECT_EQ(drawn, 5000u);
  EXPECT_EQ(seen.size(), drawn);
}

TEST(Digits, classes_are_balanced) {
  const Dataset dataset = digits(request(2));
  std::array<int, 10> count{};
  for (const int32_t label : dataset.train.labels) ++count.at(static_cast<size_t>(label));
  for (const int n : count) EXPECT_NEAR(n, 200, 5 * 13.4);  // five standard deviations of the binomial distribution
  EXPECT_EQ(dataset.classes.size(), 10u);
}

TEST(Digits, ink_is_strong_centred_and_off_the_border) {
  const Images images = digits(request(2)).train;
  int64_t on_border = 0;
  for (int64_t i = 0; i < images.count; ++i) {
    const std::span<const uint8_t> image = images.image(i);
    double ink = 0, middle_x = 0, middle_y = 0;
    for (int y = 0; y < digit_side; ++y) {
      for (int x = 0; x < digit_side; ++x) {
        const double value = image[static_cast<size_t>(y * digit_side + x)];
        ink += value;
        middle_x += value * x;
        middle_y += value * y;
        if (x % (digit_side - 1) == 0 || y % (digit_side - 1) == 0) on_border += value > 0;
      }
    }
    const double covered = ink / 255 / static_cast<double>(image.size());
    EXPECT_TRUE(covered > 0.015 && covered < 0.35) << "image " << i << " covers " << covered;
    EXPECT_NEAR(middle_x / ink, 13.5, 4.5) << "image " << i;
    EXPECT_NEAR(middle_y / ink, 13.5, 4.5) << "image " << i;
    EXPECT_GE(*std::ranges::max_element(image), 150) << "image " << i;
  }
  EXPECT_LT(on_border, images.count / 100);  // pixels; the border of one image has 108
}

// The nearest of the ten mean images: far above chance (10 %), far below a network (99 %); neither noise nor a font.
TEST(Digits, a_naive_classifier_is_right_often_but_not_always) {
  const Dataset dataset = digits(request(2));
  constexpr size_t size = digit_side * digit_side;
  std::array<std::array<double, size>, 10> mean{};
  std::array<double, 10> count{};
  for (int64_t i = 0; i < dataset.train.count; ++i) {
    const size_t label = static_cast<size_t>(dataset.train.labels[static_cast<size_t>(i)]);
    for (size_t k = 0; k < size; ++k) mean[label][k] += dataset.train.image(i)[k];
    ++count[label];
  }
  for (size_t label = 0; label < 10; ++label) {
    for (double& value : mean[label]) value /= count[label];
  }
  int right = 0;
  for (int64_t i = 0; i < dataset.test.count; ++i) {
    std::array<double, 10> distance{};
    for (size_t label = 0; label < 10; ++label) {
      for (size_t k = 0; k < size; ++k) {
        const double difference = dataset.test.image(i)[k] - mean[label][k];
        distance[label] += difference * difference;
      }
    }
    right += std::ranges::min_element(distance) - distance.begin() == dataset.test.labels[static_cast<size_t>(i)];
  }
  EXPECT_GT(right, 500 * 0.6);
  EXPECT_LT(right, 500 * 0.92);
}

TEST(Digits, the_title_says_that_it_is_synthetic) { EXPECT_EQ(digits(request(1, 42)).title, "digits (synthetic, seed 42)"); }

}  // namespace
}  // namespace fovea::data
