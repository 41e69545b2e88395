#include "fovea/study/statistics.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "fovea/base/error.h"

namespace fovea::study {
namespace {

double quantile(std::span<const double> sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const size_t below = static_cast<size_t>(place), above = std::min(below + 1, sorted.size() - 1);
  return std::lerp(sorted[below], sorted[above], place - static_cast<double>(below));
}

}  // namespace

Spread spread_of(std::span<const double> values) {
  if (values.empty()) throw Error(ExitCode::internal, "the spread of no values at all");
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  Spread spread = {.least = sorted.front(), .median = quantile(sorted, 0.5), .p90 = quantile(sorted, 0.9)};
  for (double& value : sorted) value = std::abs(value - spread.median);
  std::sort(sorted.begin(), sorted.end());
  spread.mad = quantile(sorted, 0.5);
  return spread;
}

Quartiles quartiles_of(std::span<const double> values) {
  if (values.empty()) throw Error(ExitCode::internal, "the quartiles of no values at all");
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  return {quantile(sorted, 0.25), quantile(sorted, 0.5), quantile(sorted, 0.75)};
}

}  // namespace fovea::study
