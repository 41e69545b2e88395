#include "fovea/report/ranking.h"

#include <algorithm>

namespace fovea::report {
namespace {

bool positive(const Known& value) { return value && *value > 0; }
bool has_interval(const Speedup& speedup) { return positive(speedup.low) && positive(speedup.high); }

}  // namespace

std::vector<const ComparedRow*> by_speed(const Comparison& comparison) {
  std::vector<const ComparedRow*> rows;
  for (const ComparedRow& row : comparison.rows)
    if (row.status == Status::ran && positive(row.images_per_second.median)) rows.push_back(&row);
  const bool paired = std::all_of(rows.begin(), rows.end(), [&](const ComparedRow* row) {
    return positive(row->speedup.ratio) && row->speedup.against == rows.front()->speedup.against;
  });
  const auto speed = [&](const ComparedRow* row) { return paired ? *row->speedup.ratio : *row->images_per_second.median; };
  std::stable_sort(rows.begin(), rows.end(), [&](const ComparedRow* a, const ComparedRow* b) { return speed(a) > speed(b); });
  return rows;
}

Lead lead_of(const ComparedRow& fast, const ComparedRow& slow) {
  const Speedup &a = fast.speedup, &b = slow.speedup;
  if (positive(a.ratio) && a.against == slow.id) return {*a.ratio, a.low, a.high};
  if (positive(b.ratio) && b.against == fast.id)
    return has_interval(b) ? Lead{1 / *b.ratio, 1 / *b.high, 1 / *b.low} : Lead{1 / *b.ratio, std::nullopt, std::nullopt};
  if (positive(a.ratio) && positive(b.ratio) && a.against == b.against) {
    if (!has_interval(a) || !has_interval(b)) return {*a.ratio / *b.ratio, std::nullopt, std::nullopt, true};
    return {*a.ratio / *b.ratio, *a.low / *b.high, *a.high / *b.low, true};
  }
  return {*fast.images_per_second.median / *slow.images_per_second.median, std::nullopt, std::nullopt};
}

}  // namespace fovea::report
