// Finds a module, opens it, and believes it only if it was built against the same seam.
#include "fovea/backend/module.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstring>

#include "fovea/base/error.h"
#include "fovea/base/installed.h"

namespace fovea {
namespace {

Absence never_built(std::string_view what, const std::filesystem::path& file, std::string_view lacked, std::string_view remedy) {
  return {fmt::format("this build has no {} module: {} when it was built, or {} was removed", what, lacked, file.string()),
          fmt::format("{}, and build again", remedy)};
}

std::filesystem::path onednn_file() { return library_folder() / "libfovea_onednn.so"; }

// Of the library that the module takes its symbols from: the file that it was built with, or what the loader knows by that name; nullptr:
// none.
void* open_onednn(int mode) {
  const std::filesystem::path file = FOVEA_ONEDNN_LIBRARY;
  return dlopen(std::filesystem::exists(file) ? file.c_str() : file.filename().c_str(), mode);
}

bool is_known_to_loader() {
  void* handle = open_onednn(RTLD_LAZY | RTLD_LOCAL);
  if (handle != nullptr) dlclose(handle);
  return handle != nullptr;
}

constexpr const char* install_onednn =
    "install oneDNN (`tools/setup.sh` does; Debian 12 calls it libdnnl2), or name its folder in LD_LIBRARY_PATH";
constexpr const char* build_again = "build the whole of fovea again, so that the program and its modules fit together";

}  // namespace

const char* seam_build_id() { return FOVEA_SEAM_BUILD_ID; }

Module open_module(const std::filesystem::path& file, const Absence& if_there_is_no_file) {
  if (!std::filesystem::exists(file)) return {nullptr, if_there_is_no_file};
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return {nullptr, {fmt::format("the module cannot be opened: {}", dlerror()), build_again}};
  const ModuleEntry entry = reinterpret_cast<ModuleEntry>(dlsym(library, module_entry));
  if (entry == nullptr)
    return {nullptr, {fmt::format("{} has no `{}`: it is no module of fovea", file.string(), module_entry), build_again}};
  const ModuleTable* table = entry();
  if (std::strcmp(table->build_id, seam_build_id()) != 0)
    return {nullptr,
            {fmt::format("{} was built for another fovea: its build id is {}, ours is {}", file.string(), table->build_id, seam_build_id()),
             build_again}};
  return {table, table->absence()};
}

const Module& cuda_module() {
  static const std::filesystem::path file = library_folder() / "libfovea_cuda.so";
  static const Module module =
      open_module(file, never_built("CUDA", file, "nvcc was not found",
                                    "run `tools/setup.sh --cuda`, which fetches nvcc, or install a CUDA toolkit (version 12 or newer)"));
  return module;
}

const Module& cudnn_module() {
  static const std::filesystem::path file = library_folder() / "libfovea_cudnn.so";
  static const Module module =
      open_module(file, never_built("cuDNN", file, "the headers of cuDNN, cuBLAS and cudnn-frontend were not found",
                                    "run `tools/setup.sh --cuda-libraries --cudnn-frontend`, which fetches them"));
  return module;
}

const Absence& absence_of_onednn() {
  static const Absence absence = [] {
    const std::filesystem::path file = onednn_file(), library = FOVEA_ONEDNN_LIBRARY;
    if (!std::filesystem::exists(file))
      return never_built("oneDNN", file, "oneDNN was not found", "run `tools/setup.sh`, which installs oneDNN");
    if (std::filesystem::exists(library) || is_known_to_loader()) return Absence{};
    return Absence{fmt::format("{} is not found", library.filename().string()), install_onednn};
  }();
  return absence;
}

const Module& onednn_module() {
  static const Module module = [] {
    if (!absence_of_onednn().none()) return Module{nullptr, absence_of_onednn()};
    if (open_onednn(RTLD_NOW | RTLD_GLOBAL) == nullptr)
      return Module{nullptr, {fmt::format("oneDNN cannot be opened: {}", dlerror()), install_onednn}};
    return open_module(onednn_file(), {});
  }();
  return module;
}

}  // namespace fovea
