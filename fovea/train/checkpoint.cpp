#include "fovea/train/checkpoint.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "fovea/base/build_info.h"
#include "fovea/base/error.h"
#include "fovea/base/file.h"
#include "fovea/io/sections.h"
#include "fovea/train/tuning_file.h"

namespace fovea::train {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* tensor_prefix = "tensor:";
constexpr const char* kept_prefix = "kept:";
constexpr const char* tuning_section = "tuning";

// JSON has no infinity: such a number is a text.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(fmt::format("{}", value)); }
int64_t whole(const Json& json) {
  if (!json.is_number_integer()) throw std::invalid_argument(fmt::format("{} in place of a whole number", json.type_name()));
  return json.get<int64_t>();
}
double number(const Json& json) { return json.is_string() ? std::stod(json.get<std::string>()) : json.get<double>(); }

Json json_of(const Scores& scores) {
  return {{"loss", number(scores.loss)}, {"accuracy", number(scores.accuracy)}, {"counted", scores.counted}};
}
Scores scores_in(const Json& json) { return {number(json.at("loss")), number(json.at("accuracy")), whole(json.at("counted"))}; }

Json json_of(const Epoch& epoch) {
  return {{"epoch", epoch.epoch},
          {"learning_rate", number(epoch.learning_rate)},
          {"train", json_of(epoch.train)},
          {"valid", epoch.valid ? json_of(*epoch.valid) : Json(nullptr)},
          {"seconds", number(epoch.seconds)},
          {"images_per_second", number(epoch.images_per_second)},
          {"data_share", number(epoch.data_share)}};
}
Epoch epoch_in(const Json& json) {
  Epoch epoch;
  epoch.epoch = whole(json.at("epoch"));
  epoch.learning_rate = number(json.at("learning_rate"));
  epoch.train = scores_in(json.at("train"));
  if (!json.at("valid").is_null()) epoch.valid = scores_in(json.at("valid"));
  epoch.seconds = number(json.at("seconds"));
  epoch.images_per_second = number(json.at("images_per_second"));
  epoch.data_share = number(json.at("data_share"));
  return epoch;
}

Json json_of(const Patience::State& patience) { return {{"best", number(patience.best)}, {"waited", patience.waited}}; }
Patience::State patience_in(const Json& json) { return {number(json.at("best")), whole(json.at("waited"))}; }

Json json_of(const RunState& state) {
  Json history = Json::array();
  for (const Epoch& epoch : state.history) history.push_back(json_of(epoch));
  return {
      {"epoch", state.epoch},
      {"position", state.position},
      {"step", state.step},
      {"learning_rate", number(state.learning_rate)},
      {"metrics", {{"loss_sum", number(state.metrics.loss_sum)}, {"counted", state.metrics.counted}, {"correct", state.metrics.correct}}},
      {"epoch_seconds", number(state.epoch_seconds)},
      {"train_seconds", number(state.train_seconds)},
      {"data_seconds", number(state.data_seconds)},
      {"timed_seconds", number(state.timed_seconds)},
      {"history", std::move(history)},
      {"plateau", {{"patience", json_of(state.plateau.patience)}, {"share", number(state.plateau.share)}}},
      {"patience", json_of(state.patience)},
      {"best_figure", number(state.best_figure)},
      {"best_epoch", state.best_epoch},
      {"kept_epoch", state.kept_epoch},
      {"stopped_early", state.stopped == Stopped::early}};
}

RunState state_in(const Json& json) {
  RunState state;
  state.epoch = whole(json.at("epoch"));
  state.position = whole(json.at("position"));
  state.step = whole(json.at("step"));
  state.learning_rate = number(json.at("learning_rate"));
  const Json& metrics = json.at("metrics");
  state.metrics.loss_sum = number(metrics.at("loss_sum"));
  state.metrics.counted = static_cast<uint64_t>(whole(metrics.at("counted")));
  state.metrics.correct = static_cast<uint64_t>(whole(metrics.at("correct")));
  state.epoch_seconds = number(json.at("epoch_seconds"));
  state.train_seconds = number(json.at("train_seconds"));
  state.data_seconds = number(json.at("data_seconds"));
  state.timed_seconds = number(json.at("timed_seconds"));
  for (const Json& epoch : json.at("history")) state.history.push_back(epoch_in(epoch));
  state.plateau = {patience_in(json.at("plateau").at("patience")), number(json.at("plateau").at("share"))};
  state.patience = patience_in(json.at("patience"));
  state.best_figure = number(json.at("best_figure"));
  state.best_epoch = whole(json.at("best_epoch"));
  state.kept_epoch = whole(json.at("kept_epoch"));
  state.stopped = json.at("stopped_early").get<bool>() ? Stopped::early : Stopped::at_the_end;
  return state;
}

std::string text_of(const Json& json) { return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n"; }

Json section_json(const io::SectionFile& file, const char* section, const std::string& name) {
  const io::Section* found = file.find(section);
  if (found == nullptr) throw Error(ErrorId::bad_checkpoint, fmt::format("the checkpoint has no section `{}`", section)).at(name);
  return Json::parse(reinterpret_cast<const char*>(found->bytes.data()),
                     reinterpret_cast<const char*>(found->bytes.data()) + found->bytes.size());
}

StateTensor tensor_in(const io::Section& section, std::string_view prefix) {
  return {section.name.substr(prefix.size()), {section.bytes.begin(), section.bytes.end()}};
}

Checkpoint content_of(const io::SectionFile& file, const std::string& name) {
  Checkpoint checkpoint;
  checkpoint.identity = section_json(file, "run", name).at("identity").get<RunIdentity>();
  checkpoint.state = state_in(section_json(file, "state", name));
  if (const io::Section* tuning = file.find(tuning_section))
    checkpoint.tuning = parse_tuning({reinterpret_cast<const char*>(tuning->bytes.data()), tuning->bytes.size()}, name);
  for (const io::Section& section : file.sections()) {
    if (section.name.starts_with(tensor_prefix)) checkpoint.tensors.push_back(tensor_in(section, tensor_prefix));
    if (section.name.starts_with(kept_prefix)) checkpoint.state.kept.push_back(tensor_in(section, kept_prefix));
  }
  return checkpoint;
}

Checkpoint checkpoint_in(const io::SectionFile& file, const std::string& name) {
  try {
    return content_of(file, name);
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorId::bad_checkpoint, fmt::format("the checkpoint says something else than expected: {}", error.what())).at(name);
  } catch (const std::logic_error& error) {  // of number() and whole()
    throw Error(ErrorId::bad_checkpoint, fmt::format("the checkpoint holds a number that cannot be read: {}", error.what())).at(name);
  }
}

}  // namespace

size_t write_checkpoint(const std::filesystem::path& folder, const Checkpoint& checkpoint) {
  const BuildInfo build = build_info();
  const std::string run =
      text_of({{"program", fmt::format("fovea {} ({})", build.version, build.commit)}, {"identity", checkpoint.identity}});
  const std::string state = text_of(json_of(checkpoint.state));
  std::vector<io::Section> sections = {{"run", std::as_bytes(std::span(run))}, {"state", std::as_bytes(std::span(state))}};
  const std::string tuning = checkpoint.tuning ? tuning_text(*checkpoint.tuning) : "";
  if (!tuning.empty()) sections.push_back({tuning_section, std::as_bytes(std::span(tuning))});
  for (const StateTensor& tensor : checkpoint.tensors) sections.push_back({tensor_prefix + tensor.name, tensor.bytes});
  for (const StateTensor& tensor : checkpoint.state.kept) sections.push_back({kept_prefix + tensor.name, tensor.bytes});
  return io::write_sections(folder / last_checkpoint, sections, folder / previous_checkpoint);
}

Checkpoint parse_checkpoint(std::string bytes, const std::string& name) {
  return checkpoint_in(io::SectionFile::parse(std::move(bytes), name), name);
}

size_t bytes_of(const Checkpoint& checkpoint) {
  size_t bytes = 16 << 10;  // of what is not a tensor
  for (const StateTensor& tensor : checkpoint.tensors) bytes += tensor.bytes.size();
  for (const StateTensor& tensor : checkpoint.state.kept) bytes += tensor.bytes.size();
  if (checkpoint.tuning) bytes += tuning_text(*checkpoint.tuning).size();
  return bytes;
}

std::optional<LoadedCheckpoint> load_checkpoint(const std::filesystem::path& folder) {
  std::optional<Error> failure;
  std::string why;
  for (const char* name : {last_checkpoint, previous_checkpoint}) {
    const std::filesystem::path file = folder / name;
    if (!is_there(file)) continue;
    try {
      return LoadedCheckpoint{checkpoint_in(io::SectionFile::read(file), file.string()), file, why};
    } catch (const Error& error) {
      if (error.code() != ExitCode::data) throw;
      why = fmt::format("{} cannot be used ({})", file.string(), error.message());
      if (!failure) failure = error;
    }
  }
  if (failure)
    throw Error(*failure).help("no older checkpoint of this run can be read; `fovea train " + (folder / "config.toml").string() +
                               " --out ANOTHER` starts it anew");
  return std::nullopt;
}

}  // namespace fovea::train
