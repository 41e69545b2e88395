// Files of runs as `fovea train` writes them, planted in a folder that is gone after the test.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "fovea/base/error.h"
#include "fovea/report/record.h"

namespace fovea::report {

class RunFiles {
 public:
  RunFiles() {
    std::string name = (std::filesystem::temp_directory_path() / "fovea-report-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  ~RunFiles() { std::filesystem::remove_all(path_); }
  RunFiles(const RunFiles&) = delete;
  RunFiles& operator=(const RunFiles&) = delete;

  std::filesystem::path plant(const std::string& name, std::string_view text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
    return path_ / name;
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline nlohmann::json sample_result() {
  return {{"schema_version", 1},
          {"model", "lenet5"},
          {"data", "digits (synthetic, seed 1)"},
          {"backend", "reference"},
          {"threads", 1},
          {"seed", 1},
          {"epochs", 5},
          {"batch", 64},
          {"train_seconds", 1234.56},
          {"images_per_second", 1500.4},
          {"test_accuracy", 0.98765},
          {"machine", {{"device", "a CPU"}}},
          {"commit", "0123abc"}};
}

inline RunRecord sample_run(const std::string& backend, double images_per_second) {
  RunRecord run;
  run.model = "lenet5";
  run.data = "digits (synthetic, seed 1)";
  run.backend = backend;
  run.device = "a CPU";
  run.commit = "0123abc";
  run.threads = 1;
  run.seed = 1;
  run.epochs = 5;
  run.batch = 64;
  run.images_per_second = images_per_second;
  run.train_seconds = 300000 / images_per_second;
  run.test_accuracy = 0.98765;
  return run;
}

// Everything that the program would print; fails the test if no Error (data) comes.
template <class Action>
std::string error_text(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error came";
  return {};
}

}  // namespace fovea::report
