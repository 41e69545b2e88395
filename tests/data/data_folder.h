// A folder of planted input files that is gone after the test, and the message of an error that must come.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/base/error.h"

namespace fovea::data {

using Bytes = std::vector<uint8_t>;

class DataFolder {
 public:
  DataFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "fovea-data-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  ~DataFolder() { std::filesystem::remove_all(path_); }
  DataFolder(const DataFolder&) = delete;
  DataFolder& operator=(const DataFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void plant(const std::string& name, const Bytes& bytes) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  void plant(const std::string& name, std::string_view text) const { plant(name, Bytes(text.begin(), text.end())); }
  void remove(const std::string& name) const { ASSERT_TRUE(std::filesystem::remove(path_ / name)) << name; }

 private:
  std::filesystem::path path_;
};

// Everything that the program would print; fails the test if no Error with this code comes.
template <class Action>
std::string error_text(ExitCode code, Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(code)) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error came";
  return {};
}

}  // namespace fovea::data
