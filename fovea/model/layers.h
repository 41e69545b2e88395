// Reads the layers of a network's text and checks how they fit onto each other.
#pragma once

#include "fovea/model/network.h"
#include "fovea/model/text.h"

namespace fovea::model {

// Fills layers, parameters and outputs from the key `layers` of `text`; the input, the loss and the classes of the network must be there.
void read_layers(const TextTable& text, Network& network);

}  // namespace fovea::model
