// The texts that come with fovea, by name.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::model {

struct Shipped {
  std::string_view kind, one;  // the folder, and what one of its files is
};
inline constexpr Shipped shipped_networks = {"models", "network"}, shipped_recipes = {"recipes", "recipe"};

// The path itself if it ends in .toml or has a slash, else NAME.toml in the first of data_folders that has it; where none has it, in the
// first folder in one of them that has it.
// Throws Error (config) for a name that none has.
std::filesystem::path find_text(const Shipped& shipped, std::string_view name_or_path);

std::vector<std::string> names_of(const Shipped& shipped);  // sorted

}  // namespace fovea::model
