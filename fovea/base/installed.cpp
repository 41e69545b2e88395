#include "fovea/base/installed.h"

#include <dlfcn.h>

#include "fovea/base/error.h"

namespace fovea {

namespace fs = std::filesystem;

fs::path library_folder() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&library_folder), &info) == 0 || info.dli_fname == nullptr)
    throw Error(ExitCode::internal, "the system does not say where libfovea lies");
  // Debian's loader finds /usr/lib as /lib, which is a link: the texts lie beside what it leads to.
  return fs::weakly_canonical(fs::absolute(info.dli_fname)).parent_path();
}

std::vector<fs::path> data_folders(std::string_view kind) {
  const fs::path library = library_folder();
  return {kind, library.parent_path() / kind, (library / FOVEA_DATA_FROM_LIBRARY / kind).lexically_normal()};
}

}  // namespace fovea
