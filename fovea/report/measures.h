// What each figure of a comparison is, and how it is measured.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/report/columns.h"
#include "fovea/report/comparison.h"

namespace fovea::report {

struct Measure {
  std::string_view source;  // the member of a row in result.json
  std::string_view method;
};
std::span<const Measure> measures();
size_t measure_number(std::string_view source);  // from 1
bool is_setting(std::string_view source);        // of a row, so nothing that was measured

std::vector<Column> spread_columns(const Comparison& comparison);  // all that was measured several times: median, quartiles, interval

std::string value_with_unit(const std::string& key, const std::string& value);  // "memory_bytes", "1073741824": "1.00 GiB"

}  // namespace fovea::report
