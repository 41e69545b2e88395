// What is to be compared: a recipe, what its [compare] table adds, and flags, which win.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "fovea/train/recipe.h"

namespace fovea::study {

// A row of a table that nothing can fill yet.
struct MissingRow {
  std::string name, reason;
};

struct CompareSettings {
  train::Recipe recipe;  // what all rows share
  std::string title;
  std::vector<std::string> command, notes;
  std::vector<std::string> backends;  // empty: all that are for speed
  enum class Absent : uint8_t { listed, refused } absent = Absent::listed;
  std::vector<int64_t> threads, batches;  // each multiplies the rows
  std::vector<std::string> precisions;
  int64_t seeds = 1;
  std::optional<int64_t> steps;  // speed alone, of at least so many steps of each row
  std::optional<double> target_accuracy;
  double extra_seconds = 30;  // at most, for more rounds where it is not sure which is faster
  std::vector<MissingRow> missing;
};

// Of the command line: text by key. Those of a recipe go into `recipe` as read_recipe takes them.
struct CompareFlags {
  std::string file;
  std::map<std::string, std::string> recipe;
  std::vector<std::string> backends, precisions;
  std::vector<int64_t> threads, batches;
  std::optional<int64_t> seeds, steps;
  std::optional<double> target_accuracy, extra_seconds;
};

// Throws Error (config, usage).
CompareSettings read_comparison(const CompareFlags& flags);

}  // namespace fovea::study
