// Whole files: read, and replaced atomically (temporary file, fsync, rename, fsync of the folder).
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace fovea {

std::string read_file(const std::filesystem::path& path);  // throws Error (data)

// After this returns the file holds all the bytes; before that it is what it was.
void replace_file(const std::filesystem::path& path, std::string_view bytes);

}  // namespace fovea
