#include "fovea/tensor/shape.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "fovea/base/error.h"

namespace fovea {

Shape::Shape(std::span<const int64_t> sizes) {
  const std::string asked = fmt::format("({})", fmt::join(sizes.begin(), sizes.end(), ", "));
  if (sizes.size() > max_rank) throw Error(ExitCode::config, fmt::format("shape {} has more than {} axes", asked, max_rank));
  for (const int64_t size : sizes) {
    if (size < 1) throw Error(ExitCode::config, fmt::format("shape {} has a size below 1", asked));
    if (size > (int64_t{1} << 62) / elements_) throw Error(ExitCode::config, fmt::format("shape {} has more than 2^62 elements", asked));
    sizes_[static_cast<size_t>(rank_++)] = size;
    elements_ *= size;
  }
}

std::string Shape::text() const { return fmt::format("({})", fmt::join(sizes_.data(), sizes_.data() + rank_, ", ")); }

}  // namespace fovea
