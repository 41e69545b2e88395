#include "fovea/train/training_data.h"

#include <fmt/format.h>

#include <algorithm>

#include "fovea/base/error.h"
#include "fovea/base/thread.h"

namespace fovea::train {
namespace {

void split_off_validation(const Recipe& recipe, TrainingData& data) {
  if (recipe.valid == "test") {
    data.validation = Validation::test;
    return;
  }
  const double share = recipe.valid_share();
  if (share == 0) return;
  data::Split parts = data::split(data.dataset.train, share, static_cast<uint64_t>(recipe.seed));
  data.validation = Validation::split;
  data.dataset.train = std::move(parts.train);
  data.valid = std::move(parts.valid);
}

Preprocessing preprocessing_of(const Recipe& recipe, const data::Images& images) {
  data::MeanStd pixels{recipe.mean, recipe.deviation};
  if (pixels.mean.empty()) pixels = data::mean_and_std(images, usable_threads());
  if (pixels.mean.size() != static_cast<size_t>(images.c))
    throw Error(ErrorId::recipe_and_data,
                fmt::format("mean and deviation have {} values, but the images have {} channels", pixels.mean.size(), images.c))
        .help("give one value per channel, or leave both out to use those of the training images");
  Preprocessing result;
  for (size_t channel = 0; channel < pixels.mean.size(); ++channel) {
    const double deviation = pixels.std[channel];
    result.mean.push_back(static_cast<float>(pixels.mean[channel]));
    result.deviation.push_back(deviation > 0 ? static_cast<float>(deviation) : 1.0f);  // a channel of one value stays at zero
  }
  return result;
}

std::vector<float> balanced_weights(const data::Dataset& dataset) {
  const std::vector<int32_t>& labels = dataset.train.labels;
  const double images = static_cast<double>(std::count_if(labels.begin(), labels.end(), [](int32_t label) { return label >= 0; }));
  std::vector<float> weights;
  for (size_t label = 0; label < dataset.classes.size(); ++label) {
    const auto count = std::count(labels.begin(), labels.end(), static_cast<int32_t>(label));
    if (count == 0)
      throw Error(ErrorId::empty_class,
                  fmt::format("class `{}` has no training image, so that nothing can balance it", dataset.classes[label]))
          .help("give class_weights as numbers, or leave them out");
    weights.push_back(static_cast<float>(images / (static_cast<double>(dataset.classes.size()) * static_cast<double>(count))));
  }
  return weights;
}

std::vector<float> class_weights_of(const Recipe& recipe, const data::Dataset& dataset) {
  if (recipe.class_weights.kind == ClassWeights::Kind::none) return {};
  if (recipe.class_weights.kind == ClassWeights::Kind::balanced) return balanced_weights(dataset);
  const std::vector<double>& given = recipe.class_weights.given;
  if (given.size() != dataset.classes.size())
    throw Error(ErrorId::recipe_and_data,
                fmt::format("class_weights has {} values, but the data set has {} classes", given.size(), dataset.classes.size()))
        .help("give one value per class, in the order of the labels, or \"balanced\"");
  return {given.begin(), given.end()};
}

}  // namespace

const data::Images* TrainingData::validated() const {
  if (validation == Validation::none) return nullptr;
  return validation == Validation::test ? &dataset.test : &valid;
}

std::string TrainingData::validation_text() const {
  if (validation == Validation::none) return "none";
  if (validation == Validation::test) return fmt::format("the {} test images", dataset.test.count);
  return fmt::format("{} images taken out of the training images", valid.count);
}

TrainingData load_training_data(const Recipe& recipe, model::Network& network) { return prepare(recipe, data::load(recipe.data), network); }

TrainingData prepare(const Recipe& recipe, data::Dataset dataset, model::Network& network) {
  TrainingData data;
  data.dataset = std::move(dataset);
  if (!recipe.positive.empty()) data.dataset = data::binary(std::move(data.dataset), recipe.positive);
  fit_network(network, data.dataset);
  split_off_validation(recipe, data);
  data.preprocessing = preprocessing_of(recipe, data.dataset.train);
  data.class_weights = class_weights_of(recipe, data.dataset);
  return data;
}

void fit_network(model::Network& network, const data::Dataset& dataset) {
  const data::Images& images = dataset.train;
  network = model::fitted(network, {dataset.spec, images.h, images.w, images.c, static_cast<int64_t>(dataset.classes.size())});
}

SharedData share_training_data(const Recipe& recipe) {
  model::Network network = model::load_network(recipe.model);
  return std::make_shared<const TrainingData>(load_training_data(recipe, network));
}

SharedData share_training_data(const Recipe& recipe, data::Dataset dataset) {
  model::Network network = model::load_network(recipe.model);
  return std::make_shared<const TrainingData>(prepare(recipe, std::move(dataset), network));
}

}  // namespace fovea::train
