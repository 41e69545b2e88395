// Backends in modules: libraries that lie beside libfovea, are opened when they are asked for, and need what not every machine has.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "fovea/backend/backend.h"

namespace fovea {

// Why something is not here, and how to get it; empty if it is here.
struct Absence {
  std::string because, remedy;
  bool none() const { return because.empty(); }
};

// What `fovea_module`, the one function that a module exports, returns. The build id stays the first member: where it is not ours,
// nothing behind it has a meaning.
struct ModuleTable {
  const char* build_id;
  Absence (*absence)();  // of a device that the module can use
  std::unique_ptr<Backend> (*open)();
};
inline constexpr const char* module_entry = "fovea_module";
using ModuleEntry = const ModuleTable* (*)();

// A hash of the headers between libfovea and its modules, and of the compiler.
const char* seam_build_id();

struct Module {
  const ModuleTable* table = nullptr;  // nullptr: absent
  Absence absence;                     // of the module or of its device
};

Module open_module(const std::filesystem::path& file, const Absence& if_there_is_no_file);
// Opened once, at the first call. The second one only looks for the libraries that it needs: they are opened with its backend.
const Module& cuda_module();
const Module& cudnn_module();
// This one is only looked for, with the library that it needs, until its backend is opened: the library first, then the module.
const Absence& absence_of_onednn();
const Module& onednn_module();

}  // namespace fovea
