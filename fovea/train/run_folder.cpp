#include "fovea/train/run_folder.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <nlohmann/json.hpp>

#include "fovea/base/build_info.h"
#include "fovea/base/error.h"
#include "fovea/base/file.h"
#include "fovea/train/tuning_file.h"

namespace fovea::train {
namespace {

using Json = nlohmann::ordered_json;

constexpr int schema_version = 1;

int64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * 1024;
}

void make_folder(const std::filesystem::path& folder) {
  std::error_code failure;
  std::filesystem::create_directories(folder, failure);
  if (failure) throw Error(ErrorId::cannot_write, fmt::format("cannot make the folder `{}`: {}", folder.string(), failure.message()));
}

void remove_file(const std::filesystem::path& file) {
  std::error_code failure;
  std::filesystem::remove(file, failure);
  if (failure) throw Error(ErrorId::cannot_write, fmt::format("cannot remove `{}`: {}", file.string(), failure.message()));
}

double best_valid_accuracy(const std::vector<Epoch>& history) {
  double best = 0;
  for (const Epoch& epoch : history) best = std::max(best, epoch.valid->accuracy);
  return best;
}

}  // namespace

std::filesystem::path make_run_folder(const Recipe& recipe, Existing existing) {
  std::filesystem::path folder = recipe.out;
  if (recipe.out.empty()) {
    const std::string model = std::filesystem::path(recipe.model).stem().string();
    make_folder("runs");
    std::error_code failure;
    for (int n = 1; folder.empty() || (!std::filesystem::create_directory(folder, failure) && !failure); ++n)  // another run may take it
      folder = std::filesystem::path("runs") / fmt::format("{}-{}", model, n);
  } else if (existing == Existing::refuse && is_there(folder / config_file)) {
    throw Error(ErrorId::folder_holds_a_run, fmt::format("the folder `{}` holds a run already", folder.string()))
        .help("name another --out, or give --overwrite to replace that run");
  }
  make_folder(folder);
  return folder;
}

// The configuration goes first: without it the rest is no run.
void clear_run_folder(const std::filesystem::path& folder) {
  for (const char* file : {config_file, result_file, last_checkpoint, previous_checkpoint, history_file, best_weights, tuning_file})
    remove_file(folder / file);
  remove_temporary_files(folder);
}

void write_config(const std::filesystem::path& folder, const Recipe& recipe) { replace_file(folder / config_file, config_text(recipe)); }

void write_tuning(const std::filesystem::path& folder, const Tuning& tuning) {
  if (!tuning.choices().empty()) replace_file(folder / tuning_file, tuning_text(tuning));
}

void write_run(const std::filesystem::path& folder, const Recipe& recipe, const TrainResult& result) {
  save_model(folder / best_weights, result.model);
  replace_file(folder / history_file, history_csv(result.history, result.best_epoch));
  replace_file(folder / result_file, result_json(recipe, result));
}

std::string history_csv(const std::vector<Epoch>& history, int64_t best_epoch) {
  std::string text = "epoch,learning_rate,train_loss,train_accuracy,valid_loss,valid_accuracy,seconds,images_per_second,data_share,best\n";
  for (const Epoch& epoch : history) {
    const std::string valid = epoch.valid ? fmt::format("{:.9g},{:.9g}", epoch.valid->loss, epoch.valid->accuracy) : ",";
    text += fmt::format("{},{:.9g},{:.9g},{:.9g},{},{:.6f},{:.1f},{:.4f},{}\n", epoch.epoch, epoch.learning_rate, epoch.train.loss,
                        epoch.train.accuracy, valid, epoch.seconds, epoch.images_per_second, epoch.data_share,
                        epoch.epoch == best_epoch ? 1 : 0);
  }
  return text;
}

std::string result_json(const Recipe& recipe, const TrainResult& result) {
  const BuildInfo build = build_info();
  const Epoch& last = result.history.back();
  Json json;
  json["schema_version"] = schema_version;
  json["model"] = result.info.model;
  json["data"] = result.info.data;
  json["backend"] = result.info.backend;
  json["precision"] = result.info.precision;
  json["threads"] = result.info.threads;
  json["seed"] = recipe.seed;
  json["epochs"] = result.history.size();
  json["stopped_early"] = result.stopped == Stopped::early;
  json["batch"] = result.info.batch;
  json["parameters"] = result.info.parameters;
  json["train_images"] = result.info.train_images;
  json["test_images"] = result.info.test_images;
  json["validation"] = result.info.validation;
  json["train_seconds"] = result.train_seconds;
  json["images_per_second"] = result.images_per_second;
  json["data_share"] = last.data_share;
  json["seconds_to_first_step"] = result.seconds_to_first_step;
  json["train_loss"] = last.train.loss;
  json["train_accuracy"] = last.train.accuracy;
  json["best_valid_accuracy"] = last.valid ? Json(best_valid_accuracy(result.history)) : Json(nullptr);
  json["best_epoch"] = result.best_epoch > 0 ? Json(result.best_epoch) : Json(nullptr);
  json["kept_epoch"] = result.kept_epoch;
  json["test_loss"] = result.test.loss;
  json["test_accuracy"] = result.test.accuracy;
  json["predicted_memory_bytes"] = result.info.predicted_bytes;
  json["device_memory_bytes"] = result.device_bytes;
  json["late_allocations"] = result.late_allocations;
  json["launches_per_step"] = result.launches > 0 ? Json(result.launches) : Json(nullptr);
  json["peak_memory_bytes"] = peak_memory_bytes();
  json["weights_sha256"] = weights_sha256(result.model.weights);
  json["machine"] = {{"device", result.info.device}};
  json["versions"] = {{"fovea", build.version}, {"compiler", build.compiler}, {"build", build.type}};
  json["commit"] = build.commit;
  json["recipe"] = recipe_text(recipe);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";  // a path need not be UTF-8
}

}  // namespace fovea::train
