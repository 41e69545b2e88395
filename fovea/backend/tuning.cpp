#include "fovea/backend/tuning.h"

namespace fovea {

const Tuning::Choice* Tuning::find(const std::string& problem) const {
  const auto found = choices_.find(problem);
  return found == choices_.end() ? nullptr : &found->second;
}

void Tuning::keep(const std::string& problem, Choice choice) { choices_.insert_or_assign(problem, std::move(choice)); }

}  // namespace fovea
