// What a training run shows while it runs: a bar on a terminal, lines elsewhere, JSON lines on request, or nothing.
#pragma once

#include <memory>

#include "fovea/train/callbacks.h"

namespace fovea::cli {

enum class Output { people, json, quiet };

std::unique_ptr<train::Callbacks> make_progress(Output output);  // to stdout

}  // namespace fovea::cli
