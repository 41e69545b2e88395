// What the fuzz targets share: bytes as a file that never touches a disk, and the errors that a reader may end in.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "fovea/base/error.h"

namespace fovea::fuzz {

using Input = std::span<const uint8_t>;

inline std::string_view text_of(Input input) { return {reinterpret_cast<const char*>(input.data()), input.size()}; }

inline Input bytes_of(std::string_view text) { return {reinterpret_cast<const uint8_t*>(text.data()), text.size()}; }

// Stops the fuzzer, which keeps the input as a finding.
inline void require(bool holds) {
  if (!holds) std::abort();
}

class MemoryFile {
 public:
  explicit MemoryFile(Input input) : descriptor_(::memfd_create("input", MFD_CLOEXEC)) {
    require(descriptor_ >= 0 && ::write(descriptor_, input.data(), input.size()) == static_cast<ssize_t>(input.size()));
  }
  ~MemoryFile() { ::close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

// Calls `read`, which may refuse its input only with an Error about the input, remedy included; anything else is a finding.
template <class Read>
void read_or_refuse(Read&& read) {
  try {
    read();
  } catch (const Error& error) {
    require(error.code() == ExitCode::config || error.code() == ExitCode::data);
    require(!error.message().empty());
  }
}

}  // namespace fovea::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
