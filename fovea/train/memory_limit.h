// How much memory a run may take on its device, and the batch that fits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "fovea/base/error.h"

namespace fovea::train {

// A batch whose plans do not fit, in figures beside the words.
class BatchTooLarge final : public Error {
 public:
  BatchTooLarge(const Error& words, size_t needed, int64_t largest) : Error(words), needed_(needed), largest_(largest) {}
  size_t needed() const { return needed_; }           // bytes, images included
  int64_t largest_batch() const { return largest_; }  // that fits; 0 where none does

 private:
  size_t needed_;
  int64_t largest_;
};

// "2 GiB", "500 MiB", "1.5 GB"; the space may be left out. An empty text is no limit: the largest size_t. Throws Error (config).
size_t memory_limit(const std::string& text);

std::string memory_text(size_t bytes);  // "2.00 GiB", "37.2 MiB"

// A batch that fits while the next one does not, or `most`; 0 where `least` does not fit.
struct BatchRange {
  int64_t least = 1, most = 1;
};
int64_t largest_batch(const BatchRange& range, const std::function<bool(int64_t)>& fits);

}  // namespace fovea::train
