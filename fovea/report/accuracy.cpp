#include "fovea/report/accuracy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "fovea/report/columns.h"
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

double seeds_of(const Score& score) { return static_cast<double>(std::max<int64_t>(1, score.count.value_or(1))); }

// Of the difference of two accuracies.
double error_of_seeds(const Score& a, const Score& b) {
  if (!a.deviation || !b.deviation || seeds_of(a) < 2 || seeds_of(b) < 2) return 0;
  return std::sqrt(*a.deviation * *a.deviation / seeds_of(a) + *b.deviation * *b.deviation / seeds_of(b));
}
double error_of_images(const Score& a, const Score& b, std::optional<int64_t> images) {
  if (!images || *images <= 0) return 0;
  return std::sqrt((*a.mean * (1 - *a.mean) + *b.mean * (1 - *b.mean)) / static_cast<double>(*images));
}

// The larger of what the seeds show and of what so many images can tell.
double standard_error(const Score& a, const Score& b, std::optional<int64_t> images) {
  return std::max(error_of_seeds(a, b), error_of_images(a, b, images));
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

// "0.33 points: sqrt(p(1-p)/N) of both for N = 10,000 test images"
std::string errors_text(const Score& high, const Score& low, const Kind& kind, const Comparison& comparison, double error) {
  const std::optional<int64_t> images = comparison.*kind.images;
  const std::string rest = error > error_of_images(high, low, images)
                               ? "deviation of the seeds by the root of their number"
                               : fmt::format("sqrt(p(1-p)/N) for N = {} {} images", grouped(static_cast<double>(*images), 0), kind.name);
  return fmt::format("{:.2f} points: {}, of both as the root of the sum of squares", 200 * error, rest);
}

AccuracyJudgement judge(const Comparison& comparison, const Kind& kind, const Range& range) {
  const Score &high = range.best->*kind.score, &low = range.worst->*kind.score;
  if (range.count == 1)
    return {fmt::format("Not to be told: {} accuracy is {} of {}, the only row that has one.", kind.name, percent(*high.mean),
                        range.best->label),
            "", kind.source};
  const double difference = *high.mean - *low.mean;
  if (difference == 0)
    return {fmt::format("Yes: the {} accuracy of all {} rows is {}.", kind.name, range.count, percent(*high.mean)),
            fmt::format("at an equal {} accuracy", kind.name), kind.source};
  const std::string found = fmt::format("{} accuracy is {} ({}) to {} ({}), {:.2f} points apart", kind.name, percent(*low.mean),
                                        range.worst->label, percent(*high.mean), range.best->label, 100 * difference);
  const double error = standard_error(high, low, comparison.*kind.images);
  if (error == 0) return {fmt::format("Not known: {}; one seed does not tell whether that is chance.", found), "", kind.source};
  const std::string errors = errors_text(high, low, kind, comparison, error);
  if (difference <= 2 * error)
    return {fmt::format("Yes, as far as can be told: {}, within two standard errors ({}).", found, errors),
            fmt::format("with no difference in {} accuracy to be told", kind.name), kind.source};
  if (seeds_of(high) < 2 && seeds_of(low) < 2)
    return {fmt::format("Not to be told from one training each: {}. That is more than two standard errors ({}), but a single seed "
                        "cannot tell it from chance of the training: `--seeds 3` or more would.",
                        found, errors),
            fmt::format("with {} accuracies {:.2f} points apart after one training each", kind.name, 100 * difference), kind.source};
  return {fmt::format("No: {}, more than two standard errors ({}).", found, errors), fmt::format("but the {} accuracies differ", kind.name),
          kind.source};
}

}  // namespace

AccuracyJudgement judge_accuracy(const Comparison& comparison) {
  for (const Kind& kind : kinds)
    if (const Range range = range_of(comparison, kind); range.count > 0) return judge(comparison, kind, range);
  const std::string& reason = comparison.rows.front().test_accuracy.reason;
  return {fmt::format("Not measured: {}.", reason.empty() ? "no row has an accuracy" : reason), "", kinds[0].source};
}

}  // namespace fovea::report
