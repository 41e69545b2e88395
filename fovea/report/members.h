// Members of a JSON object that was read from a file: each is there and of its kind, or an error names it. Only for .cpp files.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fovea/base/error.h"

namespace fovea::report {

using Json = nlohmann::ordered_json;

// `line`: of the file, where the text begins.
inline Json parse_json(std::string_view text, const std::string& file, int line) {
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& error) {
    const size_t end = std::min(error.byte, text.size());
    const auto newlines = std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(end), '\n');
    const bool cut = error.byte >= text.size();
    throw Error(ErrorId::bad_record, cut ? "the record ends before its JSON does" : "the record is not JSON from here on")
        .at(file, static_cast<int>(newlines) + line)
        .help("docs/results.md describes the records");
  }
}

class Members {
 public:
  Members(const Json& object, std::string file, int line = 0) : object_(object), file_(std::move(file)), line_(line) {
    if (!object.is_object()) throw error(fmt::format("the record is {}, not an object", object.type_name()));
  }

  bool has(const char* key) const { return object_.contains(key); }
  bool knows(const char* key) const { return has(key) && !object_.at(key).is_null(); }  // it is there, and not null
  Members object(const char* key) const { return {find(key), file_, line_}; }
  const Json& value(const char* key) const { return find(key); }
  std::string string(const char* key) const {
    const Json& value = find(key);
    if (!value.is_string()) throw wrong_kind(key, "a string");
    return value.get<std::string>();
  }
  int64_t integer(const char* key) const {
    const Json& value = find(key);
    if (!value.is_number_integer()) throw wrong_kind(key, "an integer");
    return value.get<int64_t>();
  }
  double number(const char* key) const {
    const Json& value = find(key);
    if (!value.is_number()) throw wrong_kind(key, "a number");
    return value.get<double>();
  }
  std::vector<std::pair<std::string, double>> numbers() const {
    std::vector<std::pair<std::string, double>> all;
    for (const auto& [key, value] : object_.items()) all.emplace_back(key, number(key.c_str()));
    return all;
  }

  // Of what may be unknown: absent and null are the same.
  std::string text(const char* key) const { return knows(key) ? string(key) : ""; }
  std::optional<int64_t> known_integer(const char* key) const { return knows(key) ? std::optional(integer(key)) : std::nullopt; }
  std::optional<double> known_number(const char* key) const { return knows(key) ? std::optional(number(key)) : std::nullopt; }
  const Json& elements(const char* key) const {  // of an array; none where it is unknown
    static const Json none = Json::array();
    if (!knows(key)) return none;
    const Json& value = find(key);
    if (!value.is_array()) throw wrong_kind(key, "an array");
    return value;
  }
  Members member(const Json& element) const { return {element, file_, line_}; }

  Error error(const std::string& message) const {
    return Error(ErrorId::bad_record, message).at(file_, line_).help("docs/results.md describes the records");
  }

 private:
  const Json& find(const char* key) const {
    const auto found = object_.find(key);
    if (found == object_.end()) throw error(fmt::format("the record lacks `{}`", key));
    return *found;
  }
  Error wrong_kind(const char* key, std::string_view expected) const {
    return error(fmt::format("`{}` is {}, not {}", key, object_.at(key).dump(-1, ' ', false, Json::error_handler_t::replace), expected));
  }

  const Json& object_;
  std::string file_;
  int line_;  // 0: the file as a whole
};

}  // namespace fovea::report
