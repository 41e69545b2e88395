#include "fovea/train/tuning_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "fovea/base/build_info.h"
#include "fovea/base/error.h"
#include "fovea/base/file.h"

namespace fovea::train {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* format_name = "fovea-tuning-1";
constexpr int deepest = 3;

class Reader {
 public:
  explicit Reader(const std::string& name) : name_(name) {}

  Tuning read(std::string_view text) const {
    const Json json = parse(text);
    if (const std::string format = string(json, "format", "the file"); format != format_name)
      throw error(fmt::format("the file has the format `{}`, but this program reads `{}`", format, format_name));
    Tuning tuning(string(json, "platform", "the file"));
    const Json& choices = member(json, "choices", "the file");
    if (!choices.is_object()) throw error(fmt::format("`choices` is {}, not an object", choices.type_name()));
    for (const auto& [problem, choice] : choices.items())
      tuning.keep(problem, choice_in(choice, fmt::format("the choice of `{}`", problem)));
    return tuning;
  }

 private:
  Error error(const std::string& what) const {
    return Error(ErrorId::bad_tuning, what)
        .at(name_)
        .help("leave out --tuning, or remove the file of a run: its checkpoints hold the same");
  }

  Json parse(std::string_view text) const {
    const auto shallow = [&](int depth, Json::parse_event_t, Json&) {
      if (depth > deepest) throw error("the file is nested deeper than choices are");
      return true;
    };
    try {
      return Json::parse(text, shallow);
    } catch (const Json::exception& failure) {
      throw error(fmt::format("the file is not JSON: {}", failure.what()));
    }
  }

  const Json& member(const Json& object, const char* key, const std::string& where) const {
    if (!object.is_object()) throw error(fmt::format("{} is {}, not an object", where, object.type_name()));
    const auto found = object.find(key);
    if (found == object.end()) throw error(fmt::format("{} has no `{}`", where, key));
    return *found;
  }
  std::string string(const Json& object, const char* key, const std::string& where) const {
    const Json& value = member(object, key, where);
    if (!value.is_string()) throw error(fmt::format("`{}` of {} is {}, not a string", key, where, value.type_name()));
    return value.get<std::string>();
  }
  double time(const Json& object, const char* key, const std::string& where) const {
    const Json& value = member(object, key, where);
    if (!value.is_number() || !std::isfinite(value.get<double>()) || value.get<double>() < 0)
      throw error(fmt::format("`{}` of {} is {}, but must be a time", key, where, value.dump()));
    return value.get<double>();
  }
  Tuning::Choice choice_in(const Json& json, const std::string& where) const {
    return {string(json, "taken", where), time(json, "microseconds", where), string(json, "rejected", where),
            time(json, "rejected_microseconds", where)};
  }

  const std::string& name_;
};

}  // namespace

std::string tuning_text(const Tuning& tuning) {
  const BuildInfo build = build_info();
  Json choices = Json::object();
  for (const auto& [problem, choice] : tuning.choices())
    choices[problem] = {{"taken", choice.taken},
                        {"microseconds", choice.microseconds},
                        {"rejected", choice.rejected},
                        {"rejected_microseconds", choice.rejected_microseconds}};
  const Json json = {{"format", format_name},
                     {"program", fmt::format("fovea {} ({})", build.version, build.commit)},
                     {"platform", tuning.platform()},
                     {"choices", std::move(choices)}};
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Tuning parse_tuning(std::string_view text, const std::string& name) { return Reader(name).read(text); }

Tuning read_tuning(const std::filesystem::path& file) { return parse_tuning(read_text(file), file.string()); }

}  // namespace fovea::train
