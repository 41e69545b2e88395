// A checkpoint: what is accepted comes back from the file that is written of it. The first byte says whether checksums are made right,
// which a fuzzer would hardly hit upon: of the whole file, or of a file around the text of its state.
#include "fovea/train/checkpoint.h"

#include <fcntl.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "fovea/base/file.h"
#include "tests/fuzz/input.h"

namespace fovea::fuzz {
namespace {

constexpr size_t header_bytes = 32, row_bytes = 16;

uint32_t checksum_of(std::string_view bytes) {
  return static_cast<uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}
template <class Number>
void put(std::string& bytes, size_t at, Number number) {
  std::memcpy(bytes.data() + at, &number, sizeof number);
}
template <class Number>
Number number_at(const std::string& bytes, size_t at) {
  Number number;
  std::memcpy(&number, bytes.data() + at, sizeof number);
  return number;
}

// The same file with the checksums that its lengths ask for, as far as it goes.
void make_checksums_right(std::string& bytes) {
  if (bytes.size() < header_bytes) return;
  const uint64_t table_bytes = std::min<uint64_t>(number_at<uint64_t>(bytes, 16), bytes.size() - header_bytes);
  const size_t table_end = header_bytes + table_bytes;
  size_t section = table_end;
  for (size_t row = header_bytes; row + row_bytes <= table_end;) {
    const uint64_t length = number_at<uint64_t>(bytes, row);
    if (length > bytes.size() - section) break;
    put(bytes, row + 8, checksum_of(std::string_view(bytes).substr(section, length)));
    section += length;
    row += row_bytes + number_at<uint32_t>(bytes, row + 12);
  }
  put(bytes, 24, checksum_of(std::string_view(bytes).substr(header_bytes, table_bytes)));
  put(bytes, 28, checksum_of(std::string_view(bytes).substr(0, 28)));
}

std::string file_around(std::string_view state) {
  const std::string_view run = R"({"identity": {"seed": "1"}})", tensor = "12345678";
  std::string table;
  const auto add_row = [&](std::string_view name, size_t length) {
    const size_t at = table.size();
    table.resize(at + row_bytes);
    put(table, at, uint64_t{length});
    put(table, at + 12, static_cast<uint32_t>(name.size()));
    table += name;
  };
  add_row("run", run.size());
  add_row("state", state.size());
  add_row("tensor:w", tensor.size());
  std::string bytes(header_bytes, '\0');
  std::memcpy(bytes.data(),
              "\x89"
              "fovea\r\n",
              8);
  put(bytes, 8, uint32_t{1});
  put(bytes, 12, uint32_t{3});
  put(bytes, 16, uint64_t{table.size()});
  bytes.append(table).append(run).append(state).append(tensor);
  make_checksums_right(bytes);
  return bytes;
}

std::string file_of(Input input) {
  enum : uint8_t { right_checksums = 1, only_state = 2 };
  std::string bytes(text_of(input.subspan(1)));
  if (input[0] & only_state) return file_around(bytes);
  if (input[0] & right_checksums) make_checksums_right(bytes);
  return bytes;
}

// Takes what is written to any file.
class Written final : public FileCalls {
 public:
  int open(const char*, int) override { return FileCalls::open("/dev/null", O_WRONLY); }
  ssize_t write(int, const void* bytes, size_t count) override {
    all.append(static_cast<const char*>(bytes), count);
    return static_cast<ssize_t>(count);
  }
  int fsync(int) override { return 0; }
  int rename(const char*, const char*) override { return 0; }

  std::string all;
};

std::string file_of(const train::Checkpoint& checkpoint) {
  Written written;
  const UseFileCalls instead(written);
  train::write_checkpoint("nowhere", checkpoint);
  return written.all;
}

}  // namespace
}  // namespace fovea::fuzz

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fovea;
  if (size == 0) return 0;
  fuzz::read_or_refuse([&] {
    const train::Checkpoint read = train::parse_checkpoint(fuzz::file_of({data, size}), "last.ckpt");
    const std::string once = fuzz::file_of(read);
    fuzz::require(fuzz::file_of(train::parse_checkpoint(once, "last.ckpt")) == once);
  });
  return 0;
}
