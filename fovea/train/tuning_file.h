// tuning.json: what was measured, so that a run that goes on, or another one, need not measure it again.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "fovea/backend/tuning.h"

namespace fovea::train {

inline constexpr const char* tuning_file = "tuning.json";

std::string tuning_text(const Tuning& tuning);  // JSON

// Throws Error (data) on anything but such a text. `name` is only for errors.
Tuning parse_tuning(std::string_view text, const std::string& name);
Tuning read_tuning(const std::filesystem::path& file);

}  // namespace fovea::train
