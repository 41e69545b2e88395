// What a run leaves: its files, and a model that is whole in one of them.
#include "fovea/train/run.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "fovea/backend/registry.h"
#include "fovea/base/file.h"
#include "tests/train/tiny_run.h"

namespace fovea::train {
namespace {

using data::error_text;

// The words in backticks of the first column of the table below a heading of docs/results.md.
std::set<std::string> documented(const std::string& heading) {
  std::istringstream text(read_file("docs/results.md"));
  std::set<std::string> keys;
  std::string line;
  while (std::getline(text, line) && line != heading) continue;
  while (std::getline(text, line) && !line.starts_with("#")) {
    if (!line.starts_with("| `")) continue;
    const std::string column = line.substr(0, line.find('|', 1));
    for (size_t at = column.find('`'); at != std::string::npos;) {
      const size_t end = column.find('`', at + 1);
      keys.insert(column.substr(at + 1, end - at - 1));
      at = column.find('`', end + 1);
    }
  }
  return keys;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

TEST(ResultJson, HasTheDocumentedKeysAndNoOthers) {
  TinyRun run;
  const nlohmann::json json = nlohmann::json::parse(result_json(run.recipe, run.train()));
  std::set<std::string> keys;
  for (const auto& [key, value] : json.items()) {
    if (!value.is_object()) keys.insert(key);
    if (value.is_object())
      for (const auto& inner : value.items()) keys.insert(key + "." + inner.key());
  }
  EXPECT_EQ(keys, documented("### result.json"));
  EXPECT_EQ(json["schema_version"], 1);
  EXPECT_TRUE(json["best_valid_accuracy"].is_null());
  EXPECT_GT(json["peak_memory_bytes"], json["predicted_memory_bytes"]);
}

// A path or the name of a class may be in another encoding than JSON's.
TEST(ResultJson, TakesTextThatIsNotUtf8) {
  TinyRun run;
  TrainResult result = run.train();
  result.info.data = "caf\xe9";
  EXPECT_EQ(nlohmann::json::parse(result_json(run.recipe, result))["data"], "caf\xef\xbf\xbd");
  result.model.classes[0] = "\xff";
  save_model(run.path("best.safetensors"), result.model);
  EXPECT_EQ(load_model(run.path("")).classes[0], "\xef\xbf\xbd");
}

TEST(WriteRun, LeavesTheDocumentedFiles) {
  TinyRun run;
  run.recipe.out = run.path("out").string();
  run.recipe.epochs = 2;
  run.recipe.valid = "test";
  run.recipe.save_every = "1 epoch";
  run.recipe.autotune = "across";
  Callbacks silent;
  const std::filesystem::path folder = run.recipe.out;
  const FinishedRun finished = start_run(run.recipe, Existing::refuse, silent);
  const TrainResult& result = finished.result;
  std::set<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.insert(entry.path().filename());
  EXPECT_EQ(files, documented("## The folder of a run"));
  const std::vector<std::string> history = split(read_file(folder / "history.csv"), '\n');
  ASSERT_EQ(history.size(), 3u);
  const std::vector<std::string> columns = split(history[0], ',');
  EXPECT_EQ(std::set<std::string>(columns.begin(), columns.end()), documented("### history.csv"));
  for (const std::string& line : history) EXPECT_EQ(std::count(line.begin(), line.end(), ','), 9) << line;
  for (size_t epoch = 1; epoch <= 2; ++epoch)
    EXPECT_EQ(history[epoch].back(), static_cast<int64_t>(epoch) == result.best_epoch ? '1' : '0');
  const nlohmann::json json = nlohmann::json::parse(read_file(folder / "result.json"));
  EXPECT_EQ(json["best_epoch"], result.best_epoch);
  EXPECT_EQ(json["stopped_early"], false);
  EXPECT_EQ(recipe_text(read_recipe(folder / "config.toml", {})), recipe_text(finished.recipe));
}

TEST(RunFolder, IsNotReplacedUnlessAskedTo) {
  TinyRun run;
  run.recipe.out = run.path("out").string();
  const std::filesystem::path folder = make_run_folder(run.recipe, Existing::refuse);
  EXPECT_EQ(make_run_folder(run.recipe, Existing::refuse), folder);  // nothing in it yet
  write_config(folder, run.recipe);
  write_run(folder, run.recipe, run.train());
  EXPECT_NE(error_text(ExitCode::usage, [&] { make_run_folder(run.recipe, Existing::refuse); }).find("--overwrite"), std::string::npos);
  EXPECT_TRUE(std::filesystem::exists(folder / "result.json"));
  make_run_folder(run.recipe, Existing::overwrite);
  clear_run_folder(folder);
  for (const std::string stale : {"config.toml", "result.json", "best.safetensors", "history.csv"})
    EXPECT_FALSE(std::filesystem::exists(folder / stale));
}

TEST(RunFolder, WithoutANameIsTheFirstFreeOne) {
  TinyRun run;
  const std::filesystem::path here = std::filesystem::current_path();
  std::filesystem::current_path(run.path(""));
  std::filesystem::create_directories("runs/tiny-2");
  const std::filesystem::path first = make_run_folder(run.recipe, Existing::refuse), third = make_run_folder(run.recipe, Existing::refuse);
  std::filesystem::current_path(here);
  EXPECT_EQ(first, "runs/tiny-1");
  EXPECT_EQ(third, "runs/tiny-3");
}

TEST(RunFolder, ThatCannotBeMadeIsAnError) {
  TinyRun run;
  run.recipe.out = (run.path("tiny.toml") / "out").string();  // below a file
  error_text(ExitCode::data, [&] { make_run_folder(run.recipe, Existing::refuse); });
}

TEST(SavedModel, GivesTheAccuracyOfItsRun) {
  TinyRun run;
  run.recipe.epochs = 3;
  const TrainResult result = run.train();
  save_model(run.path("best.safetensors"), result.model);
  const SavedModel model = load_model(run.path(""));  // the folder will do
  EXPECT_EQ(model.preprocessing.mean, result.model.preprocessing.mean);
  EXPECT_EQ(model.preprocessing.deviation, result.model.preprocessing.deviation);
  EXPECT_EQ(model.classes, (std::vector<std::string>{"0", "1", "2", "3"}));
  EXPECT_EQ(weights_sha256(model.weights), weights_sha256(result.model.weights));

  const data::Dataset dataset = data::load(run.recipe.data);
  const std::unique_ptr<Backend> backend = open_backend("eigen");
  Session session({.backend = backend.get()});
  std::vector<std::string> order;
  for (const model::Parameter& parameter : model.network.parameters) order.push_back(parameter.name);
  session.add(evaluation_graph(model.network, model.preprocessing, {.images = 30, .batch = 16}), order, dataset.test);
  session.place();
  session.write_weights(model.weights);
  const Scores scores = evaluate(session, 0, 30, 16);
  EXPECT_EQ(scores.accuracy, result.test.accuracy);
  EXPECT_EQ(scores.loss, result.test.loss);
}

TEST(SavedModel, KeepsTheClassesOfAYesOrNoQuestion) {
  TinyRun run;
  run.recipe.positive = {"1", "3"};
  const std::string text = read_file(run.recipe.model);
  replace_file(run.recipe.model, "loss = \"binary_cross_entropy\"\n" + text.substr(0, text.rfind("linear = 4")) + "linear = 1 },\n]\n");
  const TrainResult result = run.train();
  save_model(run.path("yes_or_no"), result.model);
  EXPECT_EQ(load_model(run.path("yes_or_no")).positive, run.recipe.positive);
  EXPECT_EQ(load_model(run.path("yes_or_no")).classes.size(), 2u);
}

TEST(SavedModel, ThatIsNoneOrDamagedIsRefused) {
  TinyRun run;
  const SavedModel whole = run.train().model;
  const std::filesystem::path file = run.path("best.safetensors");
  const auto refused = [&](const SavedModel& model) {
    save_model(file, model);
    return error_text(ExitCode::data, [&] { load_model(file); });
  };
  SavedModel damaged = whole;
  damaged.weights.pop_back();
  EXPECT_NE(refused(damaged).find("the network needs `linear2.bias`"), std::string::npos);
  damaged = whole;
  damaged.weights.push_back({"more", DType::f32, {1}, std::vector<std::byte>(4)});
  EXPECT_NE(refused(damaged).find("7 tensors"), std::string::npos);
  damaged = whole;
  damaged.weights[0].shape = {3, 3, 4};
  EXPECT_NE(refused(damaged).find("(3, 3, 4)"), std::string::npos);
  damaged = whole;
  damaged.preprocessing.mean.clear();
  EXPECT_NE(refused(damaged).find("0 means"), std::string::npos);
  io::write_safetensors(file, {{}, whole.weights});
  EXPECT_NE(error_text(ExitCode::data, [&] { load_model(file); }).find("metadata"), std::string::npos);
  replace_file(file, "no model");
  error_text(ExitCode::data, [&] { load_model(file); });
  error_text(ExitCode::data, [&] { load_model(run.path("absent")); });
}

}  // namespace
}  // namespace fovea::train
