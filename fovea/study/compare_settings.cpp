#include "fovea/study/compare_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "fovea/base/error.h"
#include "fovea/base/file.h"
#include "fovea/base/thread.h"
#include "fovea/model/shipped.h"
#include "fovea/model/text.h"

namespace fovea::study {
namespace {

constexpr int64_t most = int64_t{1} << 31;
constexpr const char* share_of_validation = "0.1";

void read_table(CompareSettings& settings, const CompareFlags& flags) {
  const std::filesystem::path file = model::find_text(model::shipped_recipes, flags.file);
  const model::TextTable table = model::TextTable::parse(read_text(file), file.string()).table(train::comparison_table);
  settings.title = table.string_or("title", "");
  settings.backends = table.strings("backends");
  settings.precisions = table.strings("precision");
  settings.batches = table.integers("batch", {1, most});
  settings.seeds = table.integer_or("seeds", 1, {1, 1000});
  if (table.has("steps")) settings.steps = table.integer("steps", {1, most});
  if (table.has("target_accuracy")) settings.target_accuracy = table.number("target_accuracy", {0, 1});
  settings.extra_seconds = table.number_or("extra_seconds", settings.extra_seconds, {0, 1e6});
  settings.notes = table.strings("notes");
  const std::vector<std::string> stand_in = table.strings("stands_in");  // of the recipe's own data
  if (!flags.recipe.contains("data")) settings.notes.insert(settings.notes.begin(), stand_in.begin(), stand_in.end());
  for (const int64_t count : table.integers("threads", {1, 4096})) {
    if (count <= usable_threads())
      settings.threads.push_back(count);
    else
      settings.notes.push_back(fmt::format("{} threads are left out: this machine has processors for {}", count, usable_threads()));
  }
  for (const model::TextTable& one : table.tables("missing")) settings.missing.push_back({one.string("name"), one.string("reason")});
  table.refuse_unread();
}

template <class Value>
void take(std::vector<Value>& to, const std::vector<Value>& flag, const Value& of_recipe) {
  if (!flag.empty()) to = flag;
  if (to.empty()) to.push_back(of_recipe);
  std::vector<Value> once;
  for (const Value& value : to)
    if (std::find(once.begin(), once.end(), value) == once.end()) once.push_back(value);
  to = once;
}

void check(const CompareSettings& settings) {
  if (settings.steps && settings.target_accuracy)
    throw Error(ErrorId::contradiction, "--steps measures speed alone, but --target-accuracy asks for a training")
        .help("leave one of the two out");
  if (settings.recipe.autotune == "across")
    throw Error(ErrorId::contradiction, "autotune = \"across\" mixes the backends that are to be compared")
        .help("set autotune = \"engines\" or \"off\"");
}

}  // namespace

CompareSettings read_comparison(const CompareFlags& flags) {
  CompareSettings settings;
  if (!flags.file.empty()) read_table(settings, flags);
  if (flags.steps) settings.steps = flags.steps;
  if (flags.recipe.contains("epochs") && !flags.steps) settings.steps.reset();
  if (flags.target_accuracy) settings.target_accuracy = flags.target_accuracy;
  if (flags.extra_seconds) settings.extra_seconds = *flags.extra_seconds;
  if (flags.seeds) settings.seeds = *flags.seeds;
  std::map<std::string, std::string> keys = flags.recipe;
  settings.recipe = train::read_recipe(flags.file, keys);
  train::refuse_automatic_batch(settings.recipe);
  if (settings.target_accuracy && !settings.recipe.validates()) {
    keys["valid"] = share_of_validation;
    settings.recipe = train::read_recipe(flags.file, keys);
    settings.notes.push_back("a tenth of the training images tells when the target is reached: nothing else was named for it");
  }
  if (!flags.backends.empty()) {
    settings.backends = flags.backends;
    settings.absent = CompareSettings::Absent::refused;
  }
  take(settings.threads, flags.threads, settings.recipe.threads);
  take(settings.batches, flags.batches, settings.recipe.batch);
  take(settings.precisions, flags.precisions, settings.recipe.precision);
  if (settings.title.empty())
    settings.title = fmt::format("{} on {}", std::filesystem::path(settings.recipe.model).stem().string(), settings.recipe.data);
  check(settings);
  return settings;
}

}  // namespace fovea::study
