// Reads the layers of a network's text and checks how they fit onto each other.
#pragma once

#include "fovea/model/network.h"
#include "fovea/model/text.h"

namespace fovea::model {

// Fills layers, parameters and outputs from the key `layers` of `text`; the input and the loss of the network must be there.
void read_layers(const TextTable& text, Network& network);

inline constexpr int64_t largest_size = (int64_t{1} << 31) - 1;  // of anything that a text states

}  // namespace fovea::model
