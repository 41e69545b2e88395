// The places of maxima that two backends found among values that they know to a tolerance.
#pragma once

#include <span>
#include <vector>

#include "fovea/graph/op.h"

namespace fovea::study {

// Makes `b` agree with `a`, as max_pool_forward writes them, wherever the elements of `x` at both places are no further apart than
// `allowed`, by element of x, lets them be: rounded in another order, either is a largest one.
void settle_ties(const PoolShape& shape, std::span<const float> x, std::span<const double> allowed, const std::vector<std::byte>& a,
                 std::vector<std::byte>& b);

}  // namespace fovea::study
