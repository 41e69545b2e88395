#include "fovea/train/tensors.h"

#include <fmt/format.h>

#include "fovea/base/error.h"
#include "fovea/model/nearest.h"

namespace fovea::train {
namespace {

bool matches(std::string_view pattern, std::string_view name) {
  if (pattern.empty()) return name.empty();
  if (pattern[0] == '*') return matches(pattern.substr(1), name) || (!name.empty() && matches(pattern, name.substr(1)));
  return !name.empty() && (pattern[0] == '?' || pattern[0] == name[0]) && matches(pattern.substr(1), name.substr(1));
}

Error no_match(const TensorRule& rule, const model::Network& network) {
  std::vector<std::string> names;
  for (const model::Parameter& parameter : network.parameters)
    if (parameter.trained == model::Trained::yes) names.push_back(parameter.name);
  Error error(ErrorId::tensor_rules,
              fmt::format("match = \"{}\" matches none of the {} parameters of `{}`", rule.match, names.size(), network.name));
  if (!rule.file.empty()) error.at(rule.file, rule.line);
  return error.help(model::suggestion(rule.match, "parameters", names));
}

// Biases, and the scale and shift of a batch norm, are vectors.
bool is_vector(const model::Parameter& parameter) { return parameter.shape.rank() == 1; }

}  // namespace

std::vector<TensorSettings> tensor_settings(const Recipe& recipe, const model::Network& network) {
  std::vector<TensorSettings> settings;
  for (const model::Parameter& parameter : network.parameters)
    settings.push_back({.decay = recipe.decay_on == "weights" && is_vector(parameter) ? 0 : recipe.weight_decay});
  for (const TensorRule& rule : recipe.tensors) {
    bool found = false;
    for (size_t i = 0; i < settings.size(); ++i) {
      if (network.parameters[i].trained == model::Trained::no || !matches(rule.match, network.parameters[i].name)) continue;
      found = true;
      settings[i].rate_scale = rule.rate_scale.value_or(settings[i].rate_scale);
      settings[i].decay = rule.decay.value_or(settings[i].decay);
      settings[i].frozen = rule.frozen.value_or(settings[i].frozen);
    }
    if (!found) throw no_match(rule, network);
  }
  size_t trained = 0, frozen = 0;
  for (size_t i = 0; i < settings.size(); ++i) {
    trained += network.parameters[i].trained == model::Trained::yes;
    frozen += settings[i].frozen == Switch::on;
  }
  if (frozen == trained)
    throw Error(ErrorId::tensor_rules, fmt::format("all {} parameters of `{}` are frozen", trained, network.name))
        .help("let the [[tensors]] tables of the recipe leave at least one to train");
  return settings;
}

}  // namespace fovea::train
