#include "fovea/study/bootstrap.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "fovea/base/philox.h"
#include "fovea/study/statistics.h"

namespace fovea::study {
namespace {

constexpr uint32_t resamples = 2000;
constexpr double tail = 0.025;
constexpr uint64_t bootstrap_seed = 7;

double median_of(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

// The medians of so many resamples, in blocks that go on at the front where they reach the end. `side` tells streams of numbers apart.
std::vector<double> bootstrap_medians(std::span<const double> values, uint32_t side) {
  const size_t count = values.size();
  const auto block = std::max<size_t>(1, static_cast<size_t>(std::lround(std::cbrt(static_cast<double>(count)))));
  std::vector<double> medians(resamples), sample(count);
  for (uint32_t r = 0; r < resamples; ++r) {
    for (size_t i = 0; i < count; i += block) {
      const Random4 random = philox(bootstrap_seed, Draw::bootstrap, r, static_cast<uint32_t>(i), side);
      const size_t from = to_below(random.v[0], static_cast<uint32_t>(count));
      for (size_t j = i; j < std::min(i + block, count); ++j) sample[j] = values[(from + j - i) % count];
    }
    medians[r] = median_of(sample);
  }
  std::sort(medians.begin(), medians.end());
  return medians;
}

Interval middle_of(const std::vector<double>& sorted) {
  const auto cut = static_cast<size_t>(tail * static_cast<double>(sorted.size()));
  return {sorted[cut], sorted[sorted.size() - 1 - cut]};
}

// The place, from 1, of the sorted value that the median lies above with 97.5 %, and as many from the end that it lies below: the number of
// values below the median is binomial.
size_t place_of_end(size_t count) {
  double probability = std::pow(0.5, static_cast<double>(count)), below = probability;
  size_t place = 0;
  for (size_t k = 1; k <= count && below <= tail; ++k) {
    place = k;
    probability *= static_cast<double>(count - k + 1) / static_cast<double>(k);
    below += probability;
  }
  return place;
}

Verdict verdict_of(const Interval& interval) {
  if (interval.low > 1) return Verdict::faster;
  return interval.high < 1 ? Verdict::slower : Verdict::no_significant_difference;
}

Ratio ratio_of(double log_ratio, std::optional<Interval> logs, size_t pairs) {
  Ratio ratio = {.ratio = std::exp(log_ratio), .interval = std::nullopt, .pairs = pairs};
  if (logs) {
    ratio.interval = {std::exp(logs->low) / (1 + placement_share), std::exp(logs->high) * (1 + placement_share)};
    ratio.verdict = verdict_of(*ratio.interval);
  }
  return ratio;
}

}  // namespace

std::optional<Interval> median_interval(std::span<const double> values) {
  if (values.size() < least_rounds) return std::nullopt;
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  // Of more values 0.5^n is no number, and the bootstrap falls short of nothing.
  const size_t place = values.size() > 1000 ? values.size() / 2 : place_of_end(values.size());
  const Interval ordered = {sorted[place - 1], sorted[sorted.size() - place]}, resampled = middle_of(bootstrap_medians(values, 0));
  return Interval{std::min(ordered.low, resampled.low), std::max(ordered.high, resampled.high)};
}

Ratio ratio_of_pairs(std::span<const double> logs) {
  if (logs.empty()) return {};
  return ratio_of(spread_of(logs).median, median_interval(logs), logs.size());
}

Ratio ratio_of_medians(std::span<const double> of, std::span<const double> against) {
  if (of.empty() || against.empty()) return {};
  const double log_ratio = std::log(spread_of(of).median / spread_of(against).median);
  const size_t least = std::min(of.size(), against.size());
  if (least < least_rounds) return ratio_of(log_ratio, std::nullopt, least);
  // Donner and Zou: "Closed-form confidence intervals for functions of the normal mean and standard deviation", 2012: the sides combine as
  // the roots of their squares.
  const Interval a = *median_interval(of), b = *median_interval(against);
  const double down = std::hypot(std::log(spread_of(of).median / a.low), std::log(b.high / spread_of(against).median));
  const double up = std::hypot(std::log(a.high / spread_of(of).median), std::log(spread_of(against).median / b.low));
  return ratio_of(log_ratio, Interval{log_ratio - down, log_ratio + up}, least);
}

std::string_view name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::faster:
      return "faster";
    case Verdict::slower:
      return "slower";
    case Verdict::no_significant_difference:
      break;
  }
  return "no significant difference";
}

}  // namespace fovea::study
