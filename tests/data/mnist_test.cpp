// IDX files planted by the test: what is read, plain and packed, and every way in which they can be wrong.
#include "fovea/data/mnist.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "fovea/base/clock.h"
#include "fovea/data/idx.h"
#include "tests/data/data_folder.h"

namespace fovea::data {
namespace {

using testing::Test;

Bytes idx(uint32_t magic, const std::vector<uint32_t>& sizes, const Bytes& content) {
  Bytes bytes;
  const auto put = [&](uint32_t value) {
    for (const int shift : {24, 16, 8, 0}) bytes.push_back(static_cast<uint8_t>(value >> shift));
  };
  put(magic);
  for (const uint32_t size : sizes) put(size);
  bytes.insert(bytes.end(), content.begin(), content.end());
  return bytes;
}

Bytes counting(size_t size, int start = 0) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(start + 7 * static_cast<int>(i));
  return bytes;
}

Bytes images_file(uint32_t count, uint32_t h, uint32_t w, int start) { return idx(0x803, {count, h, w}, counting(count * h * w, start)); }
Bytes labels_file(const Bytes& labels) { return idx(0x801, {static_cast<uint32_t>(labels.size())}, labels); }

// RFC 1951 and 1952, one block without compression.
Bytes gzip_stored(const Bytes& content) {
  Bytes packed = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1};
  const auto put = [&](uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) packed.push_back(static_cast<uint8_t>(value >> (8 * i)));
  };
  put(static_cast<uint32_t>(content.size()), 2);
  put(~static_cast<uint32_t>(content.size()), 2);
  uint32_t checksum = ~0u;
  for (const uint8_t byte : content) {
    packed.push_back(byte);
    checksum ^= byte;
    for (int bit = 0; bit < 8; ++bit) checksum = (checksum >> 1) ^ (checksum & 1 ? 0xEDB88320u : 0u);
  }
  put(~checksum, 4);
  put(static_cast<uint32_t>(content.size()), 4);
  return packed;
}

const std::string train_images = "train-images-idx3-ubyte", train_labels = "train-labels-idx1-ubyte";
const std::string test_images = "t10k-images-idx3-ubyte", test_labels = "t10k-labels-idx1-ubyte";

class Mnist : public Test {
 protected:
  void SetUp() override {
    folder_.plant(train_images, images_file(4, 5, 3, 11));
    folder_.plant(train_labels, labels_file({3, 0, 9, 3}));
    folder_.plant(test_images, images_file(2, 5, 3, 77));
    folder_.plant(test_labels, labels_file({1, 2}));
  }
  void expect_planted(const Dataset& dataset) const {
    const Images &train = dataset.train, &test = dataset.test;
    EXPECT_EQ((std::vector{train.count, train.h, train.w, train.c}), (std::vector<int64_t>{4, 5, 3, 1}));
    EXPECT_EQ((std::vector{test.count, test.h, test.w, test.c}), (std::vector<int64_t>{2, 5, 3, 1}));
    EXPECT_EQ(Bytes(train.pixels.begin(), train.pixels.end()), counting(60, 11));
    EXPECT_EQ(Bytes(test.pixels.begin(), test.pixels.end()), counting(30, 77));
    EXPECT_EQ(train.labels, (std::vector<int32_t>{3, 0, 9, 3}));
    EXPECT_EQ(test.labels, (std::vector<int32_t>{1, 2}));
    EXPECT_EQ(dataset.classes, (std::vector<std::string>{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}));
  }
  // The whole message for a folder in which `name` holds `bytes` instead.
  std::string error_with(const std::string& name, const Bytes& bytes) const {
    folder_.plant(name, bytes);
    return error_text(ExitCode::data, [&] { mnist(folder_.path(), 2); });
  }

  DataFolder folder_;
};

void expect_contains(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) EXPECT_NE(text.find(part), std::string::npos) << "`" << part << "` is not in:\n" << text;
}

TEST_F(Mnist, plain_files) {
  for (const int threads : {1, 2, 3}) expect_planted(mnist(folder_.path(), threads));
}

TEST_F(Mnist, gzip_files_and_dots_in_names) {
  for (const std::string& name : {train_images, train_labels, test_images, test_labels}) folder_.remove(name);
  folder_.plant("train-images.idx3-ubyte.gz", gzip_stored(images_file(4, 5, 3, 11)));
  folder_.plant("train-labels-idx1-ubyte.gz", gzip_stored(labels_file({3, 0, 9, 3})));
  folder_.plant("t10k-images.idx3-ubyte", images_file(2, 5, 3, 77));
  folder_.plant("t10k-labels.idx1-ubyte.gz", labels_file({1, 2}));  // unpacked by a browser that kept the name
  expect_planted(mnist(folder_.path(), 2));
}

TEST_F(Mnist, large_plain_file_on_several_threads) {  // several MiB, so that each thread reads a part of its own
  const Bytes content = counting(3 * 1300 * 1000, 5);
  folder_.plant(train_images, idx(0x803, {3, 1300, 1000}, content));
  for (const int threads : {1, 2, 3}) {
    const Images images = read_idx_images(folder_.path() / train_images, threads);
    EXPECT_TRUE(std::equal(content.begin(), content.end(), images.pixels.begin(), images.pixels.end())) << threads << " threads";
  }
}

TEST_F(Mnist, compressed_gzip_and_members_in_a_row) {
  const Bytes thousand_sevens = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x63, 0x60,
                                 0xe0, 0x60, 0x64, 0x60, 0x60, 0x7e, 0xc1, 0x3e, 0x0a, 0x46, 0xc1, 0x28,
                                 0x18, 0xf6, 0x00, 0x00, 0xe7, 0xba, 0xb0, 0xb1, 0xf0, 0x03, 0x00, 0x00};
  folder_.plant("sevens.gz", thousand_sevens);
  EXPECT_EQ(read_idx_labels(folder_.path() / "sevens.gz"), std::vector<int32_t>(1000, 7));

  const Bytes whole = labels_file({4, 5, 6});
  Bytes members = gzip_stored({whole.begin(), whole.begin() + 9});
  const Bytes second = gzip_stored({whole.begin() + 9, whole.end()});
  members.insert(members.end(), second.begin(), second.end());
  folder_.plant("members.gz", members);
  EXPECT_EQ(read_idx_labels(folder_.path() / "members.gz"), (std::vector<int32_t>{4, 5, 6}));
}

TEST_F(Mnist, more_classes_where_the_labels_say_so) {
  folder_.plant(train_labels, labels_file({3, 0, 26, 3}));
  const Dataset dataset = mnist(folder_.path(), 2);
  EXPECT_EQ(dataset.classes.size(), 27u);
  EXPECT_EQ(dataset.classes.back(), "26");
}

TEST_F(Mnist, missing_folder_and_files) {
  expect_contains(error_text(ExitCode::data, [&] { mnist(folder_.path() / "nowhere", 2); }),
                  {fmt::format("there is no folder `{}`", (folder_.path() / "nowhere").string()), train_images, train_labels, test_images,
                   test_labels, "help"});
  folder_.remove(train_labels);
  folder_.remove(test_images);
  expect_contains(error_text(ExitCode::data, [&] { mnist(folder_.path(), 2); }),
                  {fmt::format("`{}` lacks {}, {}", folder_.path().string(), train_labels, test_images), "note: expected", "digits"});
}

TEST_F(Mnist, wrong_content) {
  expect_contains(error_with(train_images, labels_file(Bytes(40))),
                  {train_images, "not an IDX file of images", "0x00000801, not 0x00000803"});
}

TEST_F(Mnist, empty_and_tiny_files) {
  for (const Bytes& bytes : {Bytes{}, Bytes{0}, Bytes{0x1f, 0x8b}, Bytes{0, 0, 8, 3, 0, 0, 0}}) {
    expect_contains(error_with(train_images, bytes), {train_images, bytes.size() == 2 ? "damaged" : "too short"});
  }
  expect_contains(error_with(train_images, idx(0x803, {0, 28, 28}, {})), {"holds no images", "0 x 28 x 28"});
}

TEST_F(Mnist, cut_short_or_too_long) {
  Bytes bytes = images_file(4, 5, 3, 11);
  bytes.pop_back();
  expect_contains(error_with(train_images, bytes), {"cut short", "4 x 5 x 3 bytes of images", "the file has 75 bytes"});
  bytes.insert(bytes.end(), 3, 0);
  expect_contains(error_with(train_images, bytes), {"goes on for 2 bytes after its end"});
}

TEST_F(Mnist, a_lying_header_takes_neither_memory_nor_time) {
  const Stopwatch watch;
  const Bytes two_billion = idx(0x803, {0x80000000u, 28, 28}, counting(100)),
              overflow = idx(0x803, {0xFFFFFFFFu, 0xFFFFFFFFu, 0xFFFFFFFFu}, {1});
  expect_contains(error_with(train_images, two_billion), {"promises 2147483648 x 28 x 28 bytes", "the file has 116 bytes"});
  expect_contains(error_with(train_images, gzip_stored(two_billion)), {"promises 2147483648 x 28 x 28 bytes"});
  expect_contains(error_with(train_images, overflow), {"promises 4294967295 x 4294967295 x 4294967295 bytes"});
  expect_contains(error_with(train_images, gzip_stored(overflow)), {"promises 4294967295 x 4294967295 x 4294967295 bytes"});
  EXPECT_LT(watch.seconds(), 1);
  rusage usage{};
  ASSERT_EQ(getrusage(RUSAGE_SELF, &usage), 0);
  EXPECT_LT(usage.ru_maxrss, 2'000'000);  // KiB; the smallest of them promises 1.6 TB
}

TEST_F(Mnist, damaged_gzip) {
  const Bytes good = gzip_stored(images_file(4, 5, 3, 11));
  Bytes flipped = good, longer = good, more_inside = images_file(4, 5, 3, 11);
  flipped[40] ^= 1;  // a pixel: only the checksum tells
  expect_contains(error_with(train_images, flipped), {"gzip file", train_images, "damaged", "incorrect data check"});
  expect_contains(error_with(train_images, {good.begin(), good.end() - 30}), {"damaged", "end too early"});
  expect_contains(error_with(train_images, {good.begin(), good.end() - 4}), {"damaged", "end too early"});
  longer.insert(longer.end(), {1, 2, 3, 4});
  expect_contains(error_with(train_images, longer), {"damaged"});
  more_inside.push_back(0);
  expect_contains(error_with(train_images, gzip_stored(more_inside)), {"damaged", "goes on after the end that its header states"});
}

TEST_F(Mnist, parts_that_do_not_belong_together) {
  expect_contains(error_with(train_labels, labels_file({1, 2, 3})), {"has 4 images", "has 3 labels"});
  folder_.plant(train_labels, labels_file({3, 0, 9, 3}));
  expect_contains(error_with(test_labels, labels_file({1, 47})), {"label 47", "end at 9", test_labels});
  folder_.plant(test_labels, labels_file({1, 2}));
  expect_contains(error_with(test_images, images_file(2, 3, 5, 0)), {"training images are 5 x 3, but test images 3 x 5"});
}

TEST_F(Mnist, a_folder_in_the_place_of_a_file) {
  folder_.remove(train_labels);
  folder_.plant(train_labels + "/inner", "x");
  expect_contains(error_text(ExitCode::data, [&] { mnist(folder_.path(), 2); }), {"cannot read", train_labels, "not a file"});
}

}  // namespace
}  // namespace fovea::data
