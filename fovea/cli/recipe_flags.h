// The keys of a recipe as flags: learning_rate is --learning-rate.
#pragma once

#include <map>
#include <set>
#include <string>

namespace CLI {
class App;
}

namespace fovea::cli {

// What was given, by key. `flags` has to live until the command line is parsed. `others`: keys that the command takes in its own way.
void add_recipe_flags(CLI::App& command, std::map<std::string, std::string>& flags, const std::set<std::string>& others = {});

}  // namespace fovea::cli
