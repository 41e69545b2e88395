// Where the library lies, and the data that comes with it.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

namespace fovea {

std::filesystem::path library_folder();  // of libfovea and its modules

// Where data of this kind ("models", "recipes") may lie, nearest first: in the working folder, in the checkout around a build folder,
// in the installation.
std::vector<std::filesystem::path> data_folders(std::string_view kind);

}  // namespace fovea
