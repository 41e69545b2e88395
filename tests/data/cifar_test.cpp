// Planted CIFAR-10 batches of one to three records: interleaving, order, names, and every way in which they can be wrong.
#include "fovea/data/cifar.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/data/data_folder.h"

namespace fovea::data {
namespace {

constexpr size_t plane = 1024;

uint8_t planted(size_t image, size_t channel, size_t pixel) {
  return static_cast<uint8_t>(31 * image + 101 * channel + pixel + pixel / 256);
}

Bytes batch(size_t first_image, const Bytes& labels) {
  Bytes bytes;
  for (size_t i = 0; i < labels.size(); ++i) {
    bytes.push_back(labels[i]);
    for (size_t channel = 0; channel < 3; ++channel) {
      for (size_t pixel = 0; pixel < plane; ++pixel) bytes.push_back(planted(first_image + i, channel, pixel));
    }
  }
  return bytes;
}

class Cifar : public testing::Test {
 protected:
  void plant_at(const std::string& place) const {
    folder_.plant(place + "data_batch_1.bin", batch(0, {5, 0}));
    folder_.plant(place + "data_batch_2.bin", batch(2, {9}));
    folder_.plant(place + "data_batch_3.bin", batch(3, {1, 2, 3}));
    folder_.plant(place + "data_batch_4.bin", batch(6, {4}));
    folder_.plant(place + "data_batch_5.bin", batch(7, {6, 7}));
    folder_.plant(place + "test_batch.bin", batch(9, {8, 8}));
  }
  std::string error() const {
    return error_text(ExitCode::data, [&] { cifar10(folder_.path(), 2); });
  }
  DataFolder folder_;
};

void expect_planted(const Images& images, size_t first_image) {
  ASSERT_EQ((std::vector{images.h, images.w, images.c}), (std::vector<int64_t>{32, 32, 3}));
  ASSERT_EQ(images.pixels.size(), static_cast<size_t>(images.count) * 3 * plane);
  for (size_t i = 0; i < static_cast<size_t>(images.count); ++i) {
    for (size_t pixel = 0; pixel < plane; ++pixel) {
      for (size_t channel = 0; channel < 3; ++channel) {
        ASSERT_EQ(images.image(static_cast<int64_t>(i))[3 * pixel + channel], planted(first_image + i, channel, pixel))
            << "image " << i << " pixel " << pixel << " channel " << channel;
      }
    }
  }
}

TEST_F(Cifar, planes_become_nhwc_in_the_order_of_the_batches) {
  plant_at("");
  for (const int threads : {1, 2, 3, 16}) {
    const Dataset dataset = cifar10(folder_.path(), threads);
    EXPECT_EQ(dataset.train.labels, (std::vector<int32_t>{5, 0, 9, 1, 2, 3, 4, 6, 7}));
    EXPECT_EQ(dataset.test.labels, (std::vector<int32_t>{8, 8}));
    expect_planted(dataset.train, 0);
    expect_planted(dataset.test, 9);
    EXPECT_EQ(dataset.classes.at(0), "airplane");
    EXPECT_EQ(dataset.classes.at(9), "truck");
  }
}

TEST_F(Cifar, more_records_than_are_read_at_once) {
  plant_at("");
  Bytes labels(150);
  for (size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<uint8_t>(i % 10);
  folder_.plant("test_batch.bin", batch(40, labels));
  const Dataset dataset = cifar10(folder_.path(), 2);
  ASSERT_EQ(dataset.test.count, 150);
  expect_planted(dataset.test, 40);
  for (size_t i = 0; i < labels.size(); ++i) EXPECT_EQ(dataset.test.labels[i], labels[i]);
}

TEST_F(Cifar, subfolder_and_class_names) {
  plant_at("cifar-10-batches-bin/");
  folder_.plant("cifar-10-batches-bin/batches.meta.txt", "a0\r\na1\na2\na3\na4\na5\na6\na7\na8\na9\n\n");
  for (const auto& path : {folder_.path(), folder_.path() / "cifar-10-batches-bin"}) {
    const Dataset dataset = cifar10(path, 2);
    EXPECT_EQ(dataset.train.count, 9);
    EXPECT_EQ(dataset.classes, (std::vector<std::string>{"a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9"}));
  }
  folder_.plant("cifar-10-batches-bin/batches.meta.txt", "a0\na1\n");
  EXPECT_NE(error().find("names 2 classes, not 10"), std::string::npos);
}

TEST_F(Cifar, a_part_of_the_batches_is_not_enough) {
  plant_at("");
  folder_.remove("data_batch_2.bin");
  folder_.remove("test_batch.bin");
  EXPECT_NE(error().find(fmt::format("`{}` lacks data_batch_2.bin, test_batch.bin\n", folder_.path().string())), std::string::npos)
      << error();
  const std::string text = error_text(ExitCode::data, [&] { cifar10(folder_.path() / "nowhere", 2); });
  EXPECT_NE(text.find("there is no folder"), std::string::npos) << text;
}

TEST_F(Cifar, cut_short_or_empty) {
  plant_at("");
  Bytes bytes = batch(3, {1, 2, 3});
  bytes.pop_back();
  folder_.plant("data_batch_3.bin", bytes);
  EXPECT_NE(error().find("data_batch_3.bin` has 9218 bytes, which is not a whole number of records of 3073 bytes"), std::string::npos)
      << error();
  folder_.plant("data_batch_3.bin", Bytes{});
  EXPECT_NE(error().find("data_batch_3.bin` has 0 bytes"), std::string::npos) << error();
}

TEST_F(Cifar, label_out_of_range) {
  plant_at("");
  folder_.plant("data_batch_3.bin", batch(3, {1, 10, 3}));
  const std::string text = error();
  EXPECT_NE(text.find("record 1 of `"), std::string::npos) << text;
  EXPECT_NE(text.find("data_batch_3.bin` has label 10"), std::string::npos) << text;
}

}  // namespace
}  // namespace fovea::data
