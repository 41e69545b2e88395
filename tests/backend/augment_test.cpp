// What augmentation does to images whose every pixel says where it came from.
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <set>

#include "fovea/backend/augment_pixels.h"
#include "fovea/backend/registry.h"
#include "tests/backend/case_runner.h"

namespace fovea::test {
namespace {

constexpr int64_t images = 60, side_h = 6, side_w = 5;

// Pixel (h, w) of every image is 1 + 5 h + w in the first channel and the image's number in the second: labels are 100 + number.
std::vector<Operand> stored(const StepControl& control) {
  std::vector<uint8_t> pixels;
  std::vector<int32_t> labels;
  for (int64_t image = 0; image < images; ++image) {
    labels.push_back(static_cast<int32_t>(100 + image));
    for (int64_t place = 0; place < side_h * side_w; ++place) {
      pixels.push_back(static_cast<uint8_t>(1 + place));
      pixels.push_back(static_cast<uint8_t>(image));
    }
  }
  Operand control_operand = make_operand({DType::byte, {sizeof(StepControl)}});
  std::memcpy(control_operand.bytes.data(), &control, sizeof(control));
  return {operand_of<uint8_t>({images, side_h, side_w, 2}, pixels), operand_of<int32_t>({images}, labels), control_operand};
}

// Mean 0 and deviation 1/255, so that y is the pixel as stored.
Augment plain(int64_t n) {
  Augment op;
  op.n = n, op.h = side_h, op.w = side_w, op.c = 2, op.images = images;
  op.mean = {0, 0};
  op.deviation = {1.0f / 255, 1.0f / 255};
  return op;
}

struct Batch {
  std::vector<double> y, t;
  double pixel(int64_t n, int64_t h, int64_t w, int64_t c = 0) const {
    return y[static_cast<size_t>(((n * side_h + h) * side_w + w) * 2 + c)];
  }
};

Batch augmented(const Augment& op, const StepControl& control) {
  CaseData data{stored(control), {}};
  for (const graph::Type& type : graph::outputs_of(op)) data.out.push_back(make_operand(type));
  const std::vector<Operand> out = run_case(*open_backend("reference"), op, data);
  return {values_of(out[0]), values_of(out[1])};
}

TEST(Augment, SequentialOrderCopiesAndFillsUpWithIgnored) {
  Augment op = plain(4);
  op.first_sample = 2;
  const Batch batch = augmented(op, {.seed = 1, .position = 56, .images = images});
  EXPECT_EQ(batch.t, (std::vector<double>{158, 159, ignored_label, ignored_label}));
  for (int64_t h = 0; h < side_h; ++h)
    for (int64_t w = 0; w < side_w; ++w) {
      EXPECT_NEAR(batch.pixel(0, h, w), static_cast<double>(1 + 5 * h + w), 1e-5);
      EXPECT_NEAR(batch.pixel(1, h, w, 1), 59, 1e-5);
      EXPECT_EQ(batch.pixel(2, h, w), 0);
      EXPECT_EQ(batch.pixel(3, h, w, 1), 0);
    }
}

TEST(Augment, ShuffledEpochTakesEveryImageOnce) {
  Augment op = plain(images);
  op.order = Order::shuffled;
  const Batch batch = augmented(op, {.seed = 1, .images = images, .epoch = 3});
  EXPECT_EQ(std::set<double>(batch.t.begin(), batch.t.end()).size(), static_cast<size_t>(images));
  for (int64_t n = 0; n < images; ++n)
    EXPECT_NEAR(batch.pixel(n, 0, 0, 1), batch.t[static_cast<size_t>(n)] - 100, 1e-4) << "image and label";
  const Batch next = augmented(op, {.seed = 1, .images = images, .epoch = 4});
  EXPECT_NE(batch.t, next.t);
}

TEST(Augment, NormalisesByMeanAndDeviation) {
  Augment op = plain(1);
  op.mean = {0.5f, 0.25f};
  op.deviation = {0.25f, 2.0f};
  const Batch batch = augmented(op, {.position = 51, .images = images});
  EXPECT_NEAR(batch.pixel(0, 5, 4), (30 / 255.0 - 0.5) / 0.25, 1e-6);
  EXPECT_NEAR(batch.pixel(0, 5, 4, 1), (51 / 255.0 - 0.25) / 2, 1e-6);
}

// Recovers shift and mirror of each image from its pixels, and checks that nothing else happened to it.
TEST(Augment, CropsByEveryOffsetAndMirrorsHalf) {
  Augment op = plain(images);
  op.crop_padding = 1;
  op.mirror = Mirror::random;
  op.mean = {0.5f, 0};
  op.deviation = {1.0f / 255, 1.0f / 255};
  std::map<std::tuple<int, int, bool>, int> seen;
  for (uint32_t epoch = 0; epoch < 20; ++epoch) {
    const Batch batch = augmented(op, {.seed = 5, .images = images, .epoch = epoch});
    for (int64_t n = 0; n < images; ++n) {
      int fits = 0;
      for (const int dy : {-1, 0, 1})
        for (const int dx : {-1, 0, 1})
          for (const bool mirrored : {false, true}) {
            bool same = true;
            for (int64_t h = 0; h < side_h; ++h)
              for (int64_t w = 0; w < side_w; ++w) {
                const int64_t from_h = h + dy, from_w = (mirrored ? side_w - 1 - w : w) + dx;
                const bool inside = from_h >= 0 && from_h < side_h && from_w >= 0 && from_w < side_w;
                const double expected = (inside ? static_cast<double>(1 + 5 * from_h + from_w) : 0) - 127.5;  // black outside
                same = same && std::abs(batch.pixel(n, h, w) - expected) < 1e-3;
              }
            fits += same;
            if (!same) continue;
            ++seen[{dy, dx, mirrored}];
            const Random4 bits = philox(5, Draw::augment, epoch, static_cast<uint32_t>(n), 0);
            EXPECT_EQ(dy, static_cast<int>(to_below(bits.v[0], 3)) - 1);
            EXPECT_EQ(dx, static_cast<int>(to_below(bits.v[1], 3)) - 1) << "the mirror comes after the crop";
            EXPECT_EQ(mirrored, bits.v[2] >= 0x80000000u);
          }
      ASSERT_EQ(fits, 1) << "image " << n << " of epoch " << epoch;
    }
  }
  ASSERT_EQ(seen.size(), 18u);
  for (const auto& [kind, count] : seen) EXPECT_NEAR(count, 1200 / 18.0, 45) << "each of the 18 comes up about as often";
}

TEST(Augment, DependsOnSeedEpochAndImageOnly) {
  Augment op = plain(4);
  op.crop_padding = 2;
  op.mirror = Mirror::random;
  const Batch early = augmented(op, {.seed = 5, .position = 10, .images = images, .epoch = 1, .step = 7});
  op.first_sample = 2;
  const Batch later = augmented(op, {.seed = 5, .position = 8, .images = images, .epoch = 1, .step = 90});
  EXPECT_EQ(early.y, later.y);
  EXPECT_NE(augmented(op, {.seed = 6, .position = 8, .images = images, .epoch = 1}).y, early.y);
  EXPECT_NE(augmented(op, {.seed = 5, .position = 8, .images = images, .epoch = 2}).y, early.y);
}

// The bits that every backend must give: worked out with exact arithmetic and one rounding.
TEST(Augment, NormalisationIsOneRounding) {
  const Normalisation by = normalisation(0.1307f, 0.3081f);
  for (int pixel = 0; pixel < 256; ++pixel) {
    const double exact =
        pixel * static_cast<double>(by.scale) + static_cast<double>(by.shift);  // 8 + 24 bits: the product is exact in double
    EXPECT_NEAR(static_cast<double>(normalise(static_cast<uint8_t>(pixel), by)), exact, std::abs(exact) * 0x1.0001p-24);
  }
}

}  // namespace
}  // namespace fovea::test
