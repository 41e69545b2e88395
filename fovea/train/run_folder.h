// The files that a run leaves behind.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "fovea/train/trainer.h"

namespace fovea::train {

inline constexpr const char* config_file = "config.toml";
inline constexpr const char* history_file = "history.csv";
inline constexpr const char* best_weights = "best.safetensors";
inline constexpr const char* log_file = "log.txt";
inline constexpr const char* result_file = "result.json";  // is written last: a folder that holds it holds a finished run

enum class Existing : uint8_t { refuse, overwrite };

// Makes the folder that the recipe names, or runs/<model>-<n> with the first free n. Throws Error (usage) if it holds a run already.
std::filesystem::path make_run_folder(const Recipe& recipe, Existing existing);

void clear_run_folder(const std::filesystem::path& folder);  // of the files of a run, but for its log

// config.toml, before training: every setting, as it is used, and where it came from.
void write_config(const std::filesystem::path& folder, const Recipe& recipe);

// tuning.json, before config.toml; not where nothing was measured.
void write_tuning(const std::filesystem::path& folder, const Tuning& tuning);

// best.safetensors, history.csv and, last, result.json; each replaced atomically.
void write_run(const std::filesystem::path& folder, const Recipe& recipe, const TrainResult& result);

std::string history_csv(const std::vector<Epoch>& history, int64_t best_epoch);
std::string result_json(const Recipe& recipe, const TrainResult& result);  // as docs/results.md describes

}  // namespace fovea::train
