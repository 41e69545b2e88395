// How much memory a run may take on its device, and the batch that fits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace fovea::train {

// "2 GiB", "500 MiB", "1.5 GB"; the space may be left out. An empty text is no limit: the largest size_t. Throws Error (config).
size_t memory_limit(const std::string& text);

std::string memory_text(size_t bytes);  // "2.00 GiB", "37.2 MiB"

// A batch that fits while the next one does not, or `most`; 0 where `least` does not fit.
struct BatchRange {
  int64_t least = 1, most = 1;
};
int64_t largest_batch(const BatchRange& range, const std::function<bool(int64_t)>& fits);

}  // namespace fovea::train
