// Lines of a log as MLPerf's tools read them: ":::MLLOG " and a JSON object; keys as the specification of MLCommons' `logging` names them.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace fovea::io {

using MlValue = std::variant<std::monostate, std::string, int64_t, double>;

struct MlEvent {
  enum class Type : uint8_t { point_in_time, interval_start, interval_end };
  Type type = Type::point_in_time;
  std::string key;
  MlValue value;
  std::vector<std::pair<std::string, MlValue>> metadata;
};

std::string mllog_line(const MlEvent& event, int64_t time_ms);  // since 1970; without a newline

}  // namespace fovea::io
