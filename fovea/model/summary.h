// A network as a table to read: layers, shapes, parameters and multiply-accumulates.
#pragma once

#include <string>

#include "fovea/model/network.h"

namespace fovea::model {

int64_t macs_per_image(const Network& network);
std::string summary(const Network& network);  // several lines, the last one ended

}  // namespace fovea::model
