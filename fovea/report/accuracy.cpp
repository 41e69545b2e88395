#include "fovea/report/accuracy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "fovea/report/numbers.h"

namespace fovea::report {
namespace {

struct Kind {
  const char *name, *source;
  Score ComparedRow::*score;
  std::optional<int64_t> Comparison::*images;
};
constexpr Kind kinds[] = {{"test", "rows[].test_accuracy", &ComparedRow::test_accuracy, &Comparison::test_images},
                          {"validation", "rows[].valid_accuracy", &ComparedRow::valid_accuracy, &Comparison::valid_images},
                          {"training", "rows[].train_accuracy", &ComparedRow::train_accuracy, &Comparison::train_images}};

// The standard error of the difference of two accuracies: the larger of what the seeds show and of what so many images can tell.
double standard_error(const Score& a, const Score& b, std::optional<int64_t> images) {
  double error = 0;
  const auto seeds = [](const Score& score) { return static_cast<double>(std::max<int64_t>(1, score.count.value_or(1))); };
  if (a.deviation && b.deviation && seeds(a) > 1 && seeds(b) > 1)
    error = std::sqrt(*a.deviation * *a.deviation / seeds(a) + *b.deviation * *b.deviation / seeds(b));
  if (images && *images > 0)
    error = std::max(error, std::sqrt((*a.mean * (1 - *a.mean) + *b.mean * (1 - *b.mean)) / static_cast<double>(*images)));
  return error;
}

struct Range {  // of one kind of accuracy over the rows
  const ComparedRow *best = nullptr, *worst = nullptr;
  size_t count = 0;
};

Range range_of(const Comparison& comparison, const Kind& kind) {
  Range range;
  for (const ComparedRow& row : comparison.rows) {
    const Score& score = row.*kind.score;
    if (!score.mean) continue;
    ++range.count;
    if (range.best == nullptr || *score.mean > *(range.best->*kind.score).mean) range.best = &row;
    if (range.worst == nullptr || *score.mean < *(range.worst->*kind.score).mean) range.worst = &row;
  }
  return range;
}

AccuracyJudgement judge(const Comparison& comparison, const Kind& kind, const Range& range) {
  const Score &high = range.best->*kind.score, &low = range.worst->*kind.score;
  if (range.count == 1)
    return {fmt::format("Not to be told: {} accuracy is {} of {}, the only row that has one.", kind.name, percent(*high.mean),
                        range.best->label),
            "", kind.source};
  const std::string equal = fmt::format("at an equal {} accuracy", kind.name);
  const double difference = *high.mean - *low.mean;
  if (difference == 0)
    return {fmt::format("Yes: the {} accuracy of all {} rows is {}.", kind.name, range.count, percent(*high.mean)), equal, kind.source};
  const std::string found = fmt::format("{} accuracy is {} ({}) to {} ({}), {:.2f} points apart", kind.name, percent(*low.mean),
                                        range.worst->label, percent(*high.mean), range.best->label, 100 * difference);
  const double error = standard_error(high, low, comparison.*kind.images);
  if (error == 0) return {fmt::format("Not known: {}; one seed does not tell whether that is chance.", found), "", kind.source};
  if (difference <= 2 * error)
    return {fmt::format("Yes, as far as can be told: {}, within two standard errors ({:.2f} points).", found, 200 * error), equal,
            kind.source};
  return {fmt::format("No: {}, more than two standard errors ({:.2f} points).", found, 200 * error),
          fmt::format("but the {} accuracies differ", kind.name), kind.source};
}

}  // namespace

AccuracyJudgement judge_accuracy(const Comparison& comparison) {
  for (const Kind& kind : kinds)
    if (const Range range = range_of(comparison, kind); range.count > 0) return judge(comparison, kind, range);
  const std::string& reason = comparison.rows.front().test_accuracy.reason;
  return {fmt::format("Not measured: {}.", reason.empty() ? "no row has an accuracy" : reason), "", kinds[0].source};
}

}  // namespace fovea::report
