// Runs the program as a user does and keeps what it prints.
#pragma once

#include <sys/wait.h>

#include <cstdio>
#include <stdexcept>
#include <string>

#include "fovea/base/file.h"
#include "tests/data/data_folder.h"

namespace fovea::cli {

struct Ran {
  int code = 0;
  std::string out, error;
};

// A small network in a folder where runs can be left.
class Program {
 public:
  Program() {
    folder_.plant("tiny.toml", R"(name = "tiny"
input = [8, 8, 1]
layers = [
  { conv2d = 4, kernel = 3, activation = "relu" },
  { max_pool = 2 },
  { flatten = true },
  { linear = 4 },
]
)");
  }

  // What a shell is given; {} in the arguments is the folder.
  std::string command(std::string arguments) const {
    for (size_t at = arguments.find("{}"); at != std::string::npos; at = arguments.find("{}")) arguments.replace(at, 2, folder_.path());
    return std::string(FOVEA_PROGRAM) + " " + arguments;
  }
  Ran run(const std::string& arguments) const {
    const std::filesystem::path errors = folder_.path() / "stderr";
    FILE* pipe = ::popen((command(arguments) + " 2>" + errors.string()).c_str(), "r");
    if (pipe == nullptr) throw std::runtime_error("the program cannot be started");
    Ran ran;
    char buffer[4096];
    for (size_t count = 0; (count = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) ran.out.append(buffer, count);
    const int status = ::pclose(pipe);
    ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    ran.error = read_file(errors);
    return ran;
  }
  // Trains the network into {}/out on random pixels.
  Ran train(const std::string& more = "") const {
    return run("train --model {}/tiny.toml --data synthetic:8x8x1:4:50:30 --batch 16 --out {}/out " + more);
  }
  std::filesystem::path path(const std::string& name) const { return folder_.path() / name; }
  void plant(const std::string& name, std::string_view text) const { folder_.plant(name, text); }
  void remove(const std::string& name) const { folder_.remove(name); }

 private:
  data::DataFolder folder_;
};

inline bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace fovea::cli
