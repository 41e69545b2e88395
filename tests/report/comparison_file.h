// The record of a comparison that never took place (comparison.json), as it is or changed.
#pragma once

#include <nlohmann/json.hpp>

#include "fovea/base/file.h"
#include "fovea/report/comparison.h"
#include "tests/report/run_files.h"

namespace fovea::report {

inline nlohmann::ordered_json sample_comparison() { return nlohmann::ordered_json::parse(read_file("tests/report/comparison.json")); }

inline Comparison comparison_of(const nlohmann::ordered_json& json) {
  const RunFiles files;
  files.plant("result.json", json.dump());
  return read_comparison(files.path());
}

// Everything that a row may lack is null.
inline nlohmann::ordered_json without_figures(nlohmann::ordered_json json) {
  for (auto& row : json["rows"]) {
    for (auto& [key, value] : row.items())
      if (key != "id" && key != "backend" && key != "status") value = nullptr;
    row["reason"] = "the reason";
  }
  return json;
}

}  // namespace fovea::report
