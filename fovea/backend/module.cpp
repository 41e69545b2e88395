// Finds a module, opens it, and believes it only if it was built against the same seam.
#include "fovea/backend/module.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstring>

#include "fovea/base/error.h"
#include "fovea/base/installed.h"

namespace fovea {
namespace {

constexpr const char* build_again = "build the whole of fovea again, so that the program and its modules fit together";

}  // namespace

const char* seam_build_id() { return FOVEA_SEAM_BUILD_ID; }

Module open_module(const std::filesystem::path& file) {
  if (!std::filesystem::exists(file))
    return {nullptr,
            {fmt::format("this build has no CUDA module: nvcc was not found when it was built, or {} was removed", file.string()),
             "run `tools/setup.sh --cuda`, which fetches nvcc, or install a CUDA toolkit (version 12 or newer), and build again"}};
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
  static const Module module = open_module(library_folder() / "libfovea_cuda.so");
  return module;
}

}  // namespace fovea
