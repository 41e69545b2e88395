#include "fovea/io/tensorboard.h"

#include <array>
#include <bit>

namespace fovea::io {
namespace {

// Numbers of fields, from event.proto and summary.proto of TensorBoard.
enum EventField : uint32_t { wall_time_field = 1, step_field = 2, file_version_field = 3, summary_field = 5 };
enum SummaryField : uint32_t { value_field = 1 };
enum ValueField : uint32_t { tag_field = 1, simple_value_field = 2 };

enum Wire : uint32_t { varint_wire = 0, fixed64_wire = 1, bytes_wire = 2, fixed32_wire = 5 };

void add_little_endian(std::string& out, uint64_t value, int count) {
  for (int i = 0; i < count; ++i) out += static_cast<char>(value >> (8 * i) & 0xFF);
}

void add_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void add_key(std::string& out, uint32_t field, Wire wire) { add_varint(out, field << 3 | wire); }

void add_double(std::string& out, uint32_t field, double value) {
  add_key(out, field, fixed64_wire);
  add_little_endian(out, std::bit_cast<uint64_t>(value), 8);
}

void add_float(std::string& out, uint32_t field, float value) {
  add_key(out, field, fixed32_wire);
  add_little_endian(out, std::bit_cast<uint32_t>(value), 4);
}

void add_integer(std::string& out, uint32_t field, int64_t value) {
  add_key(out, field, varint_wire);
  add_varint(out, static_cast<uint64_t>(value));
}

void add_bytes(std::string& out, uint32_t field, std::string_view bytes) {
  add_key(out, field, bytes_wire);
  add_varint(out, bytes.size());
  out += bytes;
}

void add_record(std::string& out, std::string_view bytes) {
  std::string length;
  add_little_endian(length, bytes.size(), 8);
  out += length;
  add_little_endian(out, masked_crc32c(length), 4);
  out += bytes;
  add_little_endian(out, masked_crc32c(bytes), 4);
}

constexpr std::array<uint32_t, 256> crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t rest = byte;
    for (int bit = 0; bit < 8; ++bit) rest = rest >> 1 ^ (rest & 1 ? 0x82F63B78U : 0);
    table[byte] = rest;
  }
  return table;
}

}  // namespace

EventLog::EventLog(double wall_time) {
  std::string event;
  add_double(event, wall_time_field, wall_time);
  add_bytes(event, file_version_field, "brain.Event:2");
  add_record(bytes_, event);
}

void EventLog::scalar(std::string_view tag, int64_t step, float value, double wall_time) {
  std::string scalar, summary, event;
  add_bytes(scalar, tag_field, tag);
  add_float(scalar, simple_value_field, value);
  add_bytes(summary, value_field, scalar);
  add_double(event, wall_time_field, wall_time);
  add_integer(event, step_field, step);
  add_bytes(event, summary_field, summary);
  add_record(bytes_, event);
}

uint32_t crc32c(std::string_view bytes) {
  static constexpr std::array<uint32_t, 256> table = crc_table();
  uint32_t rest = 0xFFFFFFFFU;
  for (const char byte : bytes) rest = rest >> 8 ^ table[(rest ^ static_cast<unsigned char>(byte)) & 0xFF];
  return ~rest;
}

uint32_t masked_crc32c(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return std::rotr(crc, 15) + 0xA282EAD8U;
}

}  // namespace fovea::io
