// The keys of a recipe as flags: learning_rate is --learning-rate.
#pragma once

#include <map>
#include <string>

namespace CLI {
class App;
}

namespace fovea::cli {

// What was given, by key. `flags` has to live until the command line is parsed.
void add_recipe_flags(CLI::App& command, std::map<std::string, std::string>& flags);

}  // namespace fovea::cli
