// One case of bad input: what is planted, the command, and what must come of it.
#pragma once

#include <functional>

#include "tests/cli/input_files.h"
#include "tests/cli/limited_run.h"

namespace fovea::cli {

using Plant = std::function<void(const Program&)>;

struct BadInput {
  const char* name;
  Plant plant;
  std::string arguments;
  int code;
  std::vector<std::string> says;  // the id, the file and the actual values
};

inline void PrintTo(const BadInput& input, std::ostream* out) { *out << input.name; }

inline std::string test_name(const testing::TestParamInfo<BadInput>& info) {
  std::string name = info.param.name;
  for (char& letter : name)
    if (!std::isalnum(static_cast<unsigned char>(letter))) letter = '_';
  return name;
}

// The exit code, one whole message, little memory, and nothing left behind or changed. tools/bad_input.py makes a record of the times.
inline void expect_refused(const BadInput& input) {
  const Program program;
  input.plant(program);
  const std::map<std::string, std::string> before = files_of(program);
  const Limited ran = run_limited(program, input.arguments);
  EXPECT_EQ(ran.code, input.code) << ran.error;
  for (const std::string& part : input.says) EXPECT_TRUE(has(ran.error, part)) << "no `" << part << "` in:\n" << ran.error;
  EXPECT_TRUE(ran.error.starts_with("error[E0")) << ran.error;
  EXPECT_TRUE(has(ran.error, "\n  help: ")) << ran.error;
  EXPECT_EQ(ran.error.find("error[", 1), std::string::npos) << "more than one message:\n" << ran.error;
  EXPECT_LT(ran.peak_bytes, most_peak_bytes) << ran.error;
  EXPECT_EQ(files_of(program), before) << "files were left behind or changed";
  testing::Test::RecordProperty("cpu_ms", static_cast<int>(1000 * ran.cpu_seconds));
  testing::Test::RecordProperty("peak_mib", static_cast<int>(ran.peak_bytes >> 20));
  for (const char* closed : {"mnist", "cifar"}) {  // so that they can be removed
    std::error_code absent;
    std::filesystem::permissions(program.path(closed), std::filesystem::perms::owner_all, absent);
  }
}

inline void nothing(const Program&) {}
inline Plant file(std::string name, std::string bytes) {
  return [=](const Program& program) { program.plant(name, bytes); };
}

inline const std::string to_out = "train --quiet --backend eigen --out {}/out ";
inline const std::string on_synthetic = to_out + "--model {}/tiny.toml --data synthetic:8x8x1:4:50:30 ";

}  // namespace fovea::cli
