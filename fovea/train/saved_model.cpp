#include "fovea/train/saved_model.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "fovea/base/error.h"
#include "fovea/base/file.h"

namespace fovea::train {
namespace {

constexpr const char* format_name = "fovea-model-1";

std::string metadata(const io::Safetensors& content, const std::string& key, const std::string& file) {
  const auto found = content.metadata.find(key);
  if (found == content.metadata.end())
    throw Error(ErrorId::not_a_model, fmt::format("this safetensors file has no `{}` in its metadata", key))
        .at(file)
        .help("give a best.safetensors that `fovea train` wrote");
  return found->second;
}

template <class Value>
std::vector<Value> list(const io::Safetensors& content, const std::string& key, const std::string& file) {
  try {
    return nlohmann::json::parse(metadata(content, key, file)).get<std::vector<Value>>();
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorId::not_a_model, fmt::format("the metadata `{}` is damaged: {}", key, error.what())).at(file);
  }
}

void check_weights(const SavedModel& model, const std::string& file) {
  for (const model::Parameter& parameter : model.network.parameters) {
    const auto found =
        std::find_if(model.weights.begin(), model.weights.end(), [&](const auto& weight) { return weight.name == parameter.name; });
    const std::string has = found == model.weights.end() ? "none" : fmt::format("{} {}", fovea::name_of(found->dtype), found->shape.text());
    if (found == model.weights.end() || found->shape != parameter.shape || found->dtype != DType::f32)
      throw Error(ErrorId::foreign_weights,
                  fmt::format("the network needs `{}` as f32 {}, but the file has {}", parameter.name, parameter.shape.text(), has))
          .at(file);
  }
  if (model.weights.size() != model.network.parameters.size())
    throw Error(ErrorId::foreign_weights, fmt::format("the file has {} tensors, but the network has {} parameters", model.weights.size(),
                                                      model.network.parameters.size()))
        .at(file);
}

std::string list_text(const nlohmann::json& list) { return list.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace); }

}  // namespace

void save_model(const std::filesystem::path& file, const SavedModel& model) {
  io::Safetensors content;
  content.metadata = {
      {"format", format_name},
      {"network", model.network.text},
      {"layout", "activations NHWC, filters KRSC, dense weights (outputs, inputs)"},
      {"mean", list_text(model.preprocessing.mean)},
      {"deviation", list_text(model.preprocessing.deviation)},
      {"classes", list_text(model.classes)},
      {"positive", list_text(model.positive)},
  };
  content.tensors = model.weights;
  io::write_safetensors(file, content);
}

SavedModel load_model(const std::filesystem::path& path) {
  const std::filesystem::path file = is_folder(path) ? path / "best.safetensors" : path;
  const std::string name = file.string();
  io::Safetensors content = io::read_safetensors(file);
  if (const std::string format = metadata(content, "format", name); format != format_name)
    throw Error(ErrorId::not_a_model, fmt::format("the model has the format `{}`, but this program reads `{}`", format, format_name))
        .at(name);
  SavedModel model;
  model.preprocessing = {list<float>(content, "mean", name), list<float>(content, "deviation", name)};
  model.classes = list<std::string>(content, "classes", name);
  model.network = model::parse_network(metadata(content, "network", name), name, static_cast<int64_t>(model.classes.size()));
  model.positive = list<std::string>(content, "positive", name);
  model.weights = std::move(content.tensors);
  const size_t channels = static_cast<size_t>(model.network.c);
  if (model.preprocessing.mean.size() != channels || model.preprocessing.deviation.size() != channels)
    throw Error(ErrorId::not_a_model, fmt::format("the model's preprocessing has {} means and {} deviations for {} channels",
                                                  model.preprocessing.mean.size(), model.preprocessing.deviation.size(), channels))
        .at(name);
  check_weights(model, name);
  return model;
}

}  // namespace fovea::train
