// Event files, taken apart again frame by frame.
#include "fovea/io/tensorboard.h"

#include <gtest/gtest.h>

#include <cstring>

namespace fovea::io {
namespace {

uint64_t number_at(const std::string& bytes, size_t at, int count) {
  uint64_t value = 0;
  for (int i = 0; i < count; ++i)
    value |= static_cast<uint64_t>(static_cast<unsigned char>(bytes.at(at + static_cast<size_t>(i)))) << (8 * i);
  return value;
}

std::vector<std::string> records(const std::string& bytes) {
  std::vector<std::string> all;
  for (size_t at = 0; at < bytes.size();) {
    const size_t length = number_at(bytes, at, 8);
    EXPECT_EQ(number_at(bytes, at + 8, 4), masked_crc32c(bytes.substr(at, 8)));
    all.push_back(bytes.substr(at + 12, length));
    EXPECT_EQ(number_at(bytes, at + 12 + length, 4), masked_crc32c(all.back()));
    at += 16 + length;
  }
  return all;
}

TEST(EventLog, ChecksumsAreThoseOfRfc3720) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283U);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43U);
  EXPECT_EQ(crc32c(""), 0U);
}

TEST(EventLog, BeginsWithItsVersion) {
  const std::vector<std::string> all = records(EventLog(1.5).bytes());
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0], std::string("\x09\0\0\0\0\0\0\xF8\x3F\x1A\x0D", 11) + "brain.Event:2");
}

TEST(EventLog, HoldsScalars) {
  EventLog log(0);
  log.scalar("loss", 300, 1.0F, 1.5);
  const std::vector<std::string> all = records(log.bytes());
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[1], std::string("\x09\0\0\0\0\0\0\xF8\x3F\x10\xAC\x02\x2A\x0D\x0A\x0B\x0A\x04loss\x15\0\0\x80\x3F", 27));
}

TEST(EventLog, HoldsLongTagsAndNegativeSteps) {
  EventLog log(0);
  log.scalar(std::string(300, 'x'), -1, 0, 0);
  const std::string event = records(log.bytes()).at(1);
  EXPECT_EQ(event.substr(9, 11), std::string("\x10\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 11));
  EXPECT_NE(event.find(std::string("\x0A\xAC\x02") + std::string(300, 'x')), std::string::npos);
}

}  // namespace
}  // namespace fovea::io
