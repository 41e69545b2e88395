// The layers of a network in a row: blocks opened wherever they are used, names made whole, and inputs found by their names.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/model/network.h"
#include "fovea/model/text.h"

namespace fovea::model {

struct KindName {
  std::string_view key, default_name;  // {"max_pool", "pool"}: the first is pool1
  bool operator==(const KindName&) const = default;
};

struct PlacedLayer {
  TextTable table;        // with the arguments of its block
  size_t kind = 0;        // place in the kinds that expand was given
  std::string name;       // "layer1.0.conv1"
  std::vector<int> from;  // places of the layers whose outputs it takes; image_input: the image
};

// `text`: of the whole network. `classes`: what `$classes` stands for, or 0. Throws Error (config).
std::vector<PlacedLayer> expand(const TextTable& text, std::span<const KindName> kinds, int64_t classes);

}  // namespace fovea::model
