#include "fovea/report/measurement.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "fovea/base/build_info.h"
#include "fovea/base/error.h"
#include "fovea/base/processor.h"
#include "fovea/base/thread.h"
#include "fovea/study/statistics.h"

namespace fovea::report {
namespace {

using Json = nlohmann::ordered_json;

double rounded(double value) { return value == 0 ? 0 : std::stod(fmt::format("{:.6g}", value)); }

}  // namespace

std::string line_of(const NewMeasurement& measurement) {
  Json runs = Json::array(), configuration = Json::object();
  for (const double value : measurement.values) runs.push_back(rounded(value));
  for (const auto& entry : measurement.configuration)
    std::visit(
        [&](const auto& value) {
          if constexpr (std::is_same_v<std::decay_t<decltype(value)>, double>)
            configuration[entry.first] = rounded(value);
          else
            configuration[entry.first] = value;
        },
        entry.second);
  Json machine = {{"cpu", processor_name()},
                  {"cores", usable_threads()},
                  {"memory_gib", std::round(static_cast<double>(memory_bytes()) / (1 << 30) * 10) / 10}};
  if (!measurement.device.empty()) machine["device"] = measurement.device;
  const BuildInfo build = build_info();
  const Json line = {{"schema_version", 1},
                     {"experiment", measurement.experiment},
                     {"unit", measurement.unit},
                     {"median", {{measurement.label, rounded(study::spread_of(measurement.values).median)}}},
                     {"runs", {{measurement.label, runs}}},
                     {"configuration", configuration},
                     {"machine", machine},
                     {"versions", {{"fovea", build.version}, {"compiler", build.compiler}, {"build", build.type}}},
                     {"commit", build.commit},
                     {"date", fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::time(nullptr)))}};
  return line.dump();
}

void append_line(const std::filesystem::path& file, const std::string& line) {
  std::ofstream stream(file, std::ios::app);
  stream << line << '\n';
  stream.flush();
  if (!stream)
    throw Error(ErrorId::cannot_write, fmt::format("cannot write to `{}`", file.string()))
        .help("see whether its folder exists and may be written");
}

}  // namespace fovea::report
