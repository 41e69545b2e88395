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

}  // namespace fovea
