#include "fovea/cli/recipe_flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "fovea/train/recipe.h"

namespace fovea::cli {

void add_recipe_flags(CLI::App& command, std::map<std::string, std::string>& flags, const std::set<std::string>& others) {
  for (const train::RecipeKey& key : train::recipe_keys()) {
    if (others.contains(key.name)) continue;
    std::string flag = key.name;
    std::replace(flag.begin(), flag.end(), '_', '-');
    const std::string help = key.standard.empty() ? key.help : fmt::format("{} (default: {})", key.help, key.standard);
    if (key.placeholder == "true|false") {
      command
          .add_flag_function(
              fmt::format("--{0},!--no-{0}", flag),
              [&flags, name = key.name](int64_t count) { flags[name] = count > 0 ? "true" : "false"; }, help)
          ->group("Recipe");
    } else {
      command
          .add_option_function<std::string>(
              "--" + flag, [&flags, name = key.name](const std::string& value) { flags[name] = value; }, help)
          ->type_name(key.placeholder)
          ->group("Recipe");
    }
  }
}

}  // namespace fovea::cli
