#include "fovea/train/autotune.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "fovea/backend/registry.h"
#include "fovea/base/error.h"
#include "fovea/train/tuning_file.h"

namespace fovea::train {
namespace {

// Those that are here and compute in this precision; where none is, the first one says why.
std::vector<std::unique_ptr<Backend>> open_rivals(std::string_view backend, std::string_view precision) {
  std::vector<std::string> names;
  const std::vector<std::string> all = rivals_of(backend);
  for (const BackendEntry& entry : list_backends())
    if (std::find(all.begin(), all.end(), entry.name) != all.end() && entry.absent_because.empty() &&
        computes_in(entry, require_precision(backend, precision)))
      names.push_back(entry.name);
  if (names.empty() && !all.empty()) open_backend(all.back());
  if (names.empty())
    throw Error(ErrorId::contradiction,
                fmt::format("autotune = \"across\" compares backends in one memory, but `{}` is alone in its with {}", backend, precision))
        .help("set autotune = \"engines\", or take another backend");
  std::vector<std::unique_ptr<Backend>> rivals;
  for (const std::string& name : names) rivals.push_back(open_backend(name));
  return rivals;
}

}  // namespace

Autotune::Autotune(const Recipe& recipe, Backend& backend, std::optional<Tuning> kept) : measures_(recipe.autotune != "off") {
  if (recipe.autotune == "across") rivals_ = open_rivals(recipe.backend, recipe.precision);
  std::set<std::string> platforms = {backend.platform()};
  for (const std::unique_ptr<Backend>& rival : rivals_) platforms.insert(rival->platform());
  const std::string platform = fmt::format("{}", fmt::join(platforms, "; "));
  tuning_ = Tuning(platform);
  if (kept && kept->platform() != platform)
    warning_ = fmt::format("the run has measured on another platform ({}; this is {}): it measures again, and may end in other bits",
                           kept->platform(), platform);
  else if (kept)
    tuning_ = std::move(*kept);
  else if (!recipe.tuning.empty())
    tuning_ = read_tuning(recipe.tuning);
  if (tuning_.platform() != platform)
    throw Error(ErrorId::foreign_tuning, "the choices were measured on another platform")
        .at(recipe.tuning)
        .note(fmt::format("there: {}; here: {}", tuning_.platform(), platform))
        .help("leave out --tuning, and they are measured here");
}

void Autotune::apply_to(plan::Assignment& assignment) {
  if (!measures_) return;
  assignment.limits.tuning = &tuning_;
  for (const std::unique_ptr<Backend>& rival : rivals_) assignment.rivals.push_back(rival.get());
}

}  // namespace fovea::train
