#include "fovea/io/mllog.h"

#include <array>
#include <nlohmann/json.hpp>

namespace fovea::io {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const MlValue& value) {
  return std::visit(
      [](const auto& known) -> Json {
        if constexpr (std::is_same_v<std::decay_t<decltype(known)>, std::monostate>)
          return nullptr;
        else
          return known;
      },
      value);
}

}  // namespace

std::string mllog_line(const MlEvent& event, int64_t time_ms) {
  constexpr std::array<const char*, 3> types = {"POINT_IN_TIME", "INTERVAL_START", "INTERVAL_END"};
  Json metadata = Json::object();
  for (const auto& [key, value] : event.metadata) metadata[key] = json_of(value);
  const Json line = {{"namespace", ""},
                     {"time_ms", time_ms},
                     {"event_type", types[static_cast<size_t>(event.type)]},
                     {"key", event.key},
                     {"value", json_of(event.value)},
                     {"metadata", metadata}};
  return ":::MLLOG " + line.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace fovea::io
