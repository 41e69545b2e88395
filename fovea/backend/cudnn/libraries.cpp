#include "fovea/backend/cudnn/libraries.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "fovea/base/error.h"
#include "fovea/base/installed.h"

namespace fovea::cudnn {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> file_names(Which library) {
  if (library == Which::cudnn) return {"libcudnn.so.9"};
  return {"libcublasLt.so.13", "libcublasLt.so.12"};
}

void add_folders_of(const char* variable, std::vector<fs::path>& folders) {
  const char* value = std::getenv(variable);
  std::istringstream list(value == nullptr ? "" : value);
  for (std::string folder; std::getline(list, folder, ':');)
    if (!folder.empty()) folders.emplace_back(folder);
}

// In the order of the search: FOVEA_CUDNN_PATH and LD_LIBRARY_PATH (folders with colons between them), what `tools/setup.sh
// --cuda-libraries` fetches, a CUDA toolkit, the system.
std::vector<fs::path> searched_folders() {
  std::vector<fs::path> folders;
  add_folders_of("FOVEA_CUDNN_PATH", folders);
  add_folders_of("LD_LIBRARY_PATH", folders);
  const fs::path fetched = library_folder().parent_path() / ".cuda/libraries/nvidia";
  for (const char* part : {"cudnn/lib", "cu13/lib"}) folders.push_back(fetched / part);
  for (const char* folder : {"/usr/local/cuda/lib64", "/usr/local/cuda/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"})
    folders.emplace_back(folder);
  return folders;
}

// The file, or its bare name where only the loader finds it; empty: neither does.
std::string find(Which library) {
  for (const fs::path& folder : searched_folders())
    for (const std::string& name : file_names(library))
      if (std::error_code ignored; fs::exists(folder / name, ignored)) return folder / name;
  for (const std::string& name : file_names(library))
    if (void* handle = dlopen(name.c_str(), RTLD_LAZY | RTLD_LOCAL)) {
      dlclose(handle);
      return name;
    }
  return {};
}

constexpr const char* remedy =
    "run `tools/setup.sh --cuda-libraries`, which fetches them, install cuDNN 9 and cuBLAS, or name their folders in FOVEA_CUDNN_PATH";

}  // namespace

Absence absence_of_libraries() {
  std::vector<std::string> missing;
  for (const Which library : {Which::cudnn, Which::cublas_lt})
    if (find(library).empty()) missing.push_back(file_names(library).front());
  if (missing.empty()) return {};
  return {fmt::format("{} not found, neither by the loader nor in the folders of CUDA", fmt::join(missing, " and ")), remedy};
}

void* open_library(Which library) {
  const std::string file = find(library);
  void* handle = file.empty() ? nullptr : dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr)
    throw Error(ErrorId::absent_backend, fmt::format("{} cannot be opened: {}", file_names(library).front(),
                                                     file.empty() ? "it was found before, but is gone" : dlerror()))
        .help(remedy);
  return handle;
}

}  // namespace fovea::cudnn
