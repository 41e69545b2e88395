// What is chosen is kept, and the one function that the module exports.
#include "fovea/backend/cudnn/backend.h"

#include <fmt/format.h>

#include "fovea/backend/cudnn/libraries.h"

namespace fovea::cudnn {

std::string CudnnBackend::platform() { return fmt::format("{}, cuDNN {}", CudaBackend::platform(), graphs_->version()); }

Chosen CudnnBackend::chosen(const Problem& problem, const Limits& limits, const std::function<std::unique_ptr<Offer>()>& offer) {
  std::map<std::string, Chosen>& made = limits.tuning == nullptr ? first_ : tuned_;
  const Tuning::Choice* kept = limits.tuning == nullptr ? nullptr : limits.tuning->find(problem.text);
  if (const auto found = made.find(problem.text);
      found != made.end() && (limits.tuning == nullptr || (kept != nullptr && kept->taken == found->second.name)))
    return found->second;
  return made.insert_or_assign(problem.text, choose(problem, *offer(), device(), limits.tuning)).first->second;
}

namespace {

std::unique_ptr<Backend> open() { return std::make_unique<CudnnBackend>(); }

const ModuleTable table = {FOVEA_SEAM_BUILD_ID, absence_of_libraries, open};

}  // namespace

}  // namespace fovea::cudnn

extern "C" const fovea::ModuleTable* fovea_module() { return &fovea::cudnn::table; }
