#include "fovea/train/autotune.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

#include "fovea/backend/registry.h"
#include "fovea/base/error.h"
#include "fovea/train/tuning_file.h"

namespace fovea::train {
namespace {

std::vector<std::unique_ptr<Backend>> open_rivals(std::string_view backend) {
  const std::vector<std::string> names = rivals_of(backend);
  if (names.empty())
    throw Error(ErrorId::contradiction,
                fmt::format("autotune = \"across\" compares backends in one memory, but `{}` is alone in its", backend))
        .help("set autotune = \"engines\", or take another backend");
  std::vector<std::unique_ptr<Backend>> rivals;
  for (const std::string& name : names) rivals.push_back(open_backend(name));
  return rivals;
}

}  // namespace

Autotune::Autotune(const Recipe& recipe, Backend& backend, std::optional<Tuning> kept) : measures_(recipe.autotune != "off") {
  if (recipe.autotune == "across") rivals_ = open_rivals(recipe.backend);
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
