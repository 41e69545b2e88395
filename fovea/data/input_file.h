// An input file read in parts, by position, from any thread; and what to say of files that are not there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace fovea::data {

class InputFile {
 public:
  explicit InputFile(std::filesystem::path path);  // throws Error (data) unless it is a file that can be read
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  int64_t size() const { return size_; }  // when it was opened

  void read(int64_t offset, std::span<uint8_t> out) const;  // fills all of `out`; throws Error (data) where the file ends before

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  int64_t size_ = 0;
};

// Why files of a data set are not found in a folder: it lacks them, is none, or cannot be looked into.
std::string why_missing(const std::filesystem::path& folder, std::span<const std::string> files);

}  // namespace fovea::data
