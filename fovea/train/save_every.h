// How often a run saves a checkpoint.
#pragma once

#include <cstdint>
#include <string>

namespace fovea::train {

struct SaveEvery {
  enum class Unit : uint8_t { never, steps, epochs, seconds } unit = Unit::never;
  double amount = 0;
};

// "500 steps", "2 epochs", "10 min", "90 s" or "never"; the space may be left out. Throws Error (config).
SaveEvery save_every(const std::string& text);

}  // namespace fovea::train
