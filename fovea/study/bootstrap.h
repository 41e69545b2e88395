// How sure a measured median or ratio is, on a machine that other programs disturb.
//
// An interval is the wider of two, of 95 % each: what the medians of a circular block bootstrap span (Politis and Romano, 1992; blocks of
// n^(1/3) rounds, because a disturbance lasts), and what order statistics allow whatever the distribution, which a bootstrap of few
// values falls short of. Below `least_rounds` values there is none.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace fovea::study {

inline constexpr size_t least_rounds = 6;  // two values of six leave out the median with a probability of 1/32

struct Interval {
  double low = 0, high = 0;
};

// Of the median of values in the order in which they were measured. The same values give the same interval.
std::optional<Interval> median_interval(std::span<const double> values);

enum class Verdict : uint8_t { faster, slower, no_significant_difference };

// Two trainings of the same plan in one process differ by as much for good where their memory does not move, and of noise that lasts for
// many rounds the intervals do not know enough: every interval of a ratio is wider by this share.
inline constexpr double placement_share = 0.01;

struct Ratio {
  double ratio = 1;                                      // the median
  std::optional<Interval> interval;                      // nothing: too few values
  Verdict verdict = Verdict::no_significant_difference;  // where the interval holds 1, or where there is none
  size_t pairs = 0;
};

// `logs`: of the ratios of speeds measured side by side, in their order.
Ratio ratio_of_pairs(std::span<const double> logs);

// Of speeds that were not measured side by side: each side is resampled by itself.
Ratio ratio_of_medians(std::span<const double> of, std::span<const double> against);

std::string_view name_of(Verdict verdict);

}  // namespace fovea::study
