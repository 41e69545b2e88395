// A measurement as one line of a file in results/, as docs/results.md describes them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace fovea::report {

using Setting = std::variant<std::string, int64_t, double>;

struct NewMeasurement {
  std::string experiment;      // "op/resnet18-b32/conv1/conv2d_forward/openmp-4threads"
  std::string unit;            // of the values: "us"
  std::string label;           // of what was measured: "fovea openmp"
  std::vector<double> values;  // in the order in which they were measured; at least one
  std::vector<std::pair<std::string, Setting>> configuration;
  std::string device;  // "" for the machine's processor
};

std::string line_of(const NewMeasurement& measurement);  // without a newline; machine, versions, commit and today's date are added

// Creates the file if it is not there. Throws Error (data) if it cannot be written.
void append_line(const std::filesystem::path& file, const std::string& line);

}  // namespace fovea::report
