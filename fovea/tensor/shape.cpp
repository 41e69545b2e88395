#include "fovea/tensor/shape.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "fovea/base/error.h"

namespace fovea {

namespace {

Error refusal(std::span<const int64_t> sizes, std::string_view what) {
  return Error(ExitCode::config, fmt::format("shape ({}) has {}", fmt::join(sizes.begin(), sizes.end(), ", "), what));
}

}  // namespace

Shape::Shape(std::span<const int64_t> sizes) {
  if (sizes.size() > max_rank) throw refusal(sizes, fmt::format("more than {} axes", max_rank));
  for (const int64_t size : sizes) {
    if (size < 1) throw refusal(sizes, "a size below 1");
    if (size > (int64_t{1} << 62) / elements_) throw refusal(sizes, "more than 2^62 elements");
    sizes_[static_cast<size_t>(rank_++)] = size;
    elements_ *= size;
  }
}

std::string Shape::text() const { return fmt::format("({})", fmt::join(sizes_.data(), sizes_.data() + rank_, ", ")); }

}  // namespace fovea
