#include "fovea/fovea.h"

#include <fmt/format.h>

#include <algorithm>

#include "fovea/backend/registry.h"
#include "fovea/base/build_info.h"
#include "fovea/train/apply.h"
#include "fovea/train/trainer.h"

namespace fovea {

struct Classifier::Content {
  train::SavedModel model;
};

namespace {

constexpr int64_t largest_size = int64_t{1} << 31;  // of one extent

enum class Labels : uint8_t { needed, none };

void check_images(const ImageView& view, size_t classes, Labels labels) {
  const auto refuse = [&](const std::string& what) {
    throw Error(ExitCode::data, fmt::format("{} images of {} x {} x {} {}", view.count, view.h, view.w, view.c, what))
        .help("give count * h * w * c pixels, in the order (image, row, column, channel), and one label for each image");
  };
  for (const int64_t extent : {view.count, view.h, view.w, view.c})
    if (extent < 1 || extent > largest_size) refuse("are not a set of images");
  int64_t pixels = view.count;
  for (const int64_t extent : {view.h, view.w, view.c})
    if (__builtin_mul_overflow(pixels, extent, &pixels)) refuse("are more than can be counted");
  if (std::ssize(view.pixels) != pixels) refuse(fmt::format("come with {} pixels", view.pixels.size()));
  if (labels == Labels::none) return;
  if (std::ssize(view.labels) != view.count) refuse(fmt::format("come with {} labels", view.labels.size()));
  const auto wrong = std::ranges::find_if(
      view.labels, [&](int32_t label) { return label < data::ignored_label || label >= static_cast<int64_t>(classes); });
  if (wrong != view.labels.end())
    refuse(fmt::format("in {} classes have the label {} at image {}", classes, *wrong, wrong - view.labels.begin()));
}

data::Images copy(const ImageView& view, size_t classes, Labels labels) {
  check_images(view, classes, labels);
  data::Images images = data::make_images(view.count, view.h, view.w, view.c);
  std::ranges::copy(view.pixels, images.pixels.begin());
  if (labels == Labels::needed) {
    std::ranges::copy(view.labels, images.labels.begin());
  } else {
    std::ranges::fill(images.labels, data::ignored_label);
  }
  return images;
}

data::Dataset copy(const OwnImages& own) {
  if (own.classes.size() < 2)
    throw Error(ExitCode::data,
                fmt::format("`{}` has {} classes, but there must be two or more to tell apart", own.name, own.classes.size()))
        .help("name every class in OwnImages::classes, in the order of the labels");
  data::Dataset dataset = {own.name, own.name, own.classes, copy(own.train, own.classes.size(), Labels::needed),
                           copy(own.test, own.classes.size(), Labels::needed)};
  const ImageView &a = own.train, &b = own.test;
  if (a.h != b.h || a.w != b.w || a.c != b.c)
    throw Error(ErrorId::mixed_data, fmt::format("the training images of `{}` are {} x {} x {}, but its test images {} x {} x {}", own.name,
                                                 a.h, a.w, a.c, b.h, b.w, b.c))
        .help("scale both to the same size");
  return dataset;
}

Evaluation evaluation_of(const train::Scores& scores) { return {scores.loss, scores.accuracy, scores.counted}; }

train::RunOn run_on(const Execution& where) {
  if (where.batch < 1 || where.threads < 0)
    throw Error(ExitCode::usage, fmt::format("Execution has a batch of {} and {} threads", where.batch, where.threads))
        .help("give a batch of at least 1, and at least 1 thread or 0 for one for each core");
  return {where.backend, where.threads, where.batch};
}

class Reporter final : public train::Callbacks {
 public:
  explicit Reporter(const std::function<void(const EpochReport&)>& tell) : tell_(tell) {}
  void on_epoch(const train::Epoch& epoch) override {
    if (!tell_) return;
    EpochReport report = {epoch.epoch, epoch.learning_rate, evaluation_of(epoch.train), std::nullopt, epoch.images_per_second};
    if (epoch.valid) report.valid = evaluation_of(*epoch.valid);
    tell_(report);
  }

 private:
  const std::function<void(const EpochReport&)>& tell_;
};

}  // namespace

std::string version() { return build_info().version; }

std::vector<std::string> usable_backends() {
  std::vector<std::string> names;
  for (const BackendEntry& entry : list_backends())
    if (entry.absent_because.empty()) names.push_back(entry.name);
  return names;
}

Classifier::Classifier(std::shared_ptr<const Content> content) : content_(std::move(content)) {}

Classifier Classifier::load(const std::filesystem::path& path) {
  return Classifier(std::make_shared<Content>(Content{train::load_model(path)}));
}

void Classifier::save(const std::filesystem::path& file) const { train::save_model(file, content_->model); }

std::vector<std::string> Classifier::classes() const { return content_->model.classes; }

std::string Classifier::weights_sha256() const { return train::weights_sha256(content_->model.weights); }

Evaluation Classifier::test(const ImageView& images, const Execution& where) const {
  const train::RunOn on = run_on(where);
  return evaluation_of(train::test(content_->model, copy(images, content_->model.classes.size(), Labels::needed), on).scores);
}

std::vector<float> Classifier::probabilities(const ImageView& images, const Execution& where) const {
  const train::RunOn on = run_on(where);
  return train::probabilities(content_->model, copy(images, content_->model.classes.size(), Labels::none), on);
}

std::vector<int32_t> Classifier::predict(const ImageView& images, const Execution& where) const {
  const std::vector<float> all = probabilities(images, where);
  const auto classes = std::ssize(content_->model.classes);
  std::vector<int32_t> labels;
  for (auto row = all.begin(); row != all.end(); row += classes)
    labels.push_back(static_cast<int32_t>(std::max_element(row, row + classes) - row));
  return labels;
}

Outcome run_training(const Experiment& experiment) {
  std::map<std::string, std::string> settings = experiment.settings;
  if (settings.contains("out"))
    throw Error(ExitCode::usage, fmt::format("`out` is set to `{}`, but the library writes no folder", settings["out"]))
        .help("save what comes out with Classifier::save");
  std::optional<data::Dataset> own;
  if (experiment.images) {
    own = copy(*experiment.images);
    settings["data"] = experiment.images->name;
  }
  Reporter reporter(experiment.on_epoch);
  const train::Recipe recipe = train::read_recipe(experiment.recipe, settings);
  const train::SharedData data = own ? train::share_training_data(recipe, std::move(*own)) : nullptr;
  train::TrainResult result = train::Trainer(recipe, reporter, data).train();
  return {Classifier(std::make_shared<Classifier::Content>(Classifier::Content{std::move(result.model)})),
          evaluation_of(result.test),
          std::ssize(result.history),
          result.kept_epoch,
          result.train_seconds,
          result.images_per_second};
}

}  // namespace fovea
