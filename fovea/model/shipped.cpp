#include "fovea/model/shipped.h"

#include <fmt/format.h>

#include <algorithm>

#include "fovea/base/error.h"
#include "fovea/base/installed.h"
#include "fovea/model/nearest.h"

namespace fovea::model {

namespace fs = std::filesystem;

namespace {

// Those that texts of this kind may lie in, nearest first, and behind all of them the folders in each: recipes/, recipes/reports/.
std::vector<fs::path> folders_of(const Shipped& shipped) {
  const std::vector<fs::path> top = data_folders(shipped.kind);
  std::vector<fs::path> folders = top;
  for (const fs::path& folder : top) {
    std::vector<fs::path> within;
    std::error_code ignored;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored))
      if (entry.is_directory(ignored)) within.push_back(entry.path());
    std::sort(within.begin(), within.end());
    folders.insert(folders.end(), within.begin(), within.end());
  }
  return folders;
}

}  // namespace

fs::path find_text(const Shipped& shipped, std::string_view name_or_path) {
  if (name_or_path.ends_with(".toml") || name_or_path.find('/') != std::string_view::npos) return name_or_path;
  std::string looked_in;
  for (const fs::path& folder : folders_of(shipped)) {
    looked_in += (looked_in.empty() ? "" : ", ") + folder.string();
    const fs::path path = folder / fmt::format("{}.toml", name_or_path);
    std::error_code ignored;
    if (fs::is_regular_file(path, ignored)) return path;
  }
  throw Error(ErrorId::no_such_text, fmt::format("no {} is named `{}`", shipped.one, name_or_path))
      .note("looked in " + looked_in)
      .help(suggestion(name_or_path, fmt::format("{}s", shipped.one), names_of(shipped)) +
            "; a file of your own is given as a path that ends in .toml");
}

std::vector<std::string> names_of(const Shipped& shipped) {
  std::vector<std::string> names;
  for (const fs::path& folder : folders_of(shipped)) {
    std::error_code ignored;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored))
      if (entry.path().extension() == ".toml") names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

}  // namespace fovea::model
