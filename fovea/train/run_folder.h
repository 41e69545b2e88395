// The files that a run leaves behind.
#pragma once

#include <filesystem>
#include <string>

#include "fovea/train/trainer.h"

namespace fovea::train {

enum class Existing : uint8_t { refuse, overwrite };

// Makes the folder that the recipe names, or runs/<model>-<n> with the first free n. Throws Error (usage) if it holds a run already.
std::filesystem::path make_run_folder(const Recipe& recipe, Existing existing);

// recipe.toml, before training: every setting, as it was used.
void write_recipe(const std::filesystem::path& folder, const Recipe& recipe);

// model.safetensors, history.csv and, last, result.json; each replaced atomically.
void write_run(const std::filesystem::path& folder, const Recipe& recipe, const TrainResult& result);

std::string result_json(const Recipe& recipe, const TrainResult& result);  // as docs/results.md describes

}  // namespace fovea::train
