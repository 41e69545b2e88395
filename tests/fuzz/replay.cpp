// In place of libFuzzer: reads each file named on the command line, and every beginning and every byte-by-byte change of it.
#include <fmt/format.h>

#include "fovea/base/file.h"
#include "tests/fuzz/input.h"

namespace {

void read(const std::string& bytes) { LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()); }

void read_with_changes(const std::string& bytes) {
  constexpr size_t most_places = 64;
  const size_t stride = bytes.size() / most_places + 1;
  for (size_t at = 0; at < bytes.size(); at += stride) {
    read(bytes.substr(0, at));
    std::string changed = bytes;
    for (const char value : {'\0', '\x7f', '\xff'}) {
      changed[at] = value;
      read(changed);
    }
  }
}

}  // namespace

int main(int count, char** arguments) {
  for (int i = 1; i < count; ++i) {
    const std::string bytes = fovea::read_file(arguments[i]);
    read(bytes);
    read_with_changes(bytes);
  }
  fmt::print("{} inputs\n", count - 1);
  return count > 1 ? 0 : 1;
}
