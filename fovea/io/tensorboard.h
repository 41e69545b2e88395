// Event files of TensorBoard: TFRecord frames, each around one protocol buffer `Event`, of which only what scalars need is written.
// TFRecord: u64 length, masked CRC-32C of the length, the bytes, masked CRC-32C of the bytes; all little-endian.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fovea::io {

class EventLog {
 public:
  explicit EventLog(double wall_time);  // seconds since 1970, like every time here
  void scalar(std::string_view tag, int64_t step, float value, double wall_time);
  const std::string& bytes() const { return bytes_; }  // of the whole file so far

 private:
  std::string bytes_;
};

uint32_t crc32c(std::string_view bytes);         // Castagnoli
uint32_t masked_crc32c(std::string_view bytes);  // as TFRecord has it

}  // namespace fovea::io
