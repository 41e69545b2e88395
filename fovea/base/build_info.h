// What this program was built from and with.
#pragma once

#include <string>

namespace fovea {

struct BuildInfo {
  std::string version;   // "0.1.0"
  std::string commit;    // with "+" behind if files were changed since; "unknown" outside a git checkout
  std::string compiler;  // "GNU 12.2.0"
  std::string type;      // "Release"
};
BuildInfo build_info();

}  // namespace fovea
