// What a run chooses by measuring, as its recipe says, and the backends that it chooses from.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fovea/plan/compile.h"
#include "fovea/train/recipe.h"

namespace fovea::train {

// autotune = off: nothing is measured. engines: a backend of a library measures its engines. across: that, and each step is that of the
// fastest backend in the memory of the recipe's.
class Autotune {
 public:
  // `backend`: the recipe's. `kept`: what the run that goes on has chosen; else that of the file which the recipe names, if it names one.
  // Throws Error (device) where a backend to compare with is absent, Error (config) where there is none, Error (data) for the file.
  Autotune(const Recipe& recipe, Backend& backend, std::optional<Tuning> kept);
  Autotune(const Autotune&) = delete;
  Autotune& operator=(const Autotune&) = delete;

  void apply_to(plan::Assignment& assignment);  // which it has to outlive
  const Tuning& tuning() const { return tuning_; }
  const std::string& warning() const { return warning_; }  // why what was kept is not used; empty if it is

 private:
  bool measures_;
  std::vector<std::unique_ptr<Backend>> rivals_;
  Tuning tuning_;
  std::string warning_;
};

}  // namespace fovea::train
