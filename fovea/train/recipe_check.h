// What single keys of a recipe cannot know of each other.
#pragma once

#include <string>

#include "fovea/train/recipe.h"

namespace fovea::train {

// Throws Error (config) where keys contradict each other; `file` may be empty.
void check_recipe(const Recipe& recipe, const std::string& file);

}  // namespace fovea::train
