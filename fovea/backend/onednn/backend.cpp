// The one function that the module exports.
#include "fovea/backend/onednn/backend.h"

#include <fmt/format.h>

#include "fovea/backend/module.h"
#include "fovea/backend/onednn/primitive.h"

namespace fovea::onednn {

std::string OnednnBackend::platform() { return fmt::format("{}, oneDNN {}", OpenmpBackend::platform(), library_version()); }

namespace {

Absence none() { return {}; }
std::unique_ptr<Backend> open() { return std::make_unique<OnednnBackend>(); }

const ModuleTable table = {FOVEA_SEAM_BUILD_ID, none, open};

}  // namespace

}  // namespace fovea::onednn

extern "C" const fovea::ModuleTable* fovea_module() { return &fovea::onednn::table; }
