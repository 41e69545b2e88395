#include "fovea/report/ranking.h"

#include <algorithm>

namespace fovea::report {
namespace {

bool positive(const Known& value) { return value && *value > 0; }
bool has_interval(const Speedup& speedup) { return positive(speedup.low) && positive(speedup.high); }

Lead turned(const Speedup& held) {
  return has_interval(held) ? Lead{1 / *held.ratio, 1 / *held.high, 1 / *held.low} : Lead{1 / *held.ratio, std::nullopt, std::nullopt};
}

}  // namespace

std::vector<const ComparedRow*> by_speed(const Comparison& comparison) {
  std::vector<const ComparedRow*> rows;
  for (const ComparedRow& row : comparison.rows)
    if (row.status == Status::ran && positive(row.images_per_second.median)) rows.push_back(&row);
  std::stable_sort(rows.begin(), rows.end(),
                   [](const ComparedRow* a, const ComparedRow* b) { return *a->images_per_second.median > *b->images_per_second.median; });
  return rows;
}

Lead lead_of(const ComparedRow& fast, const ComparedRow& slow) {
  const Speedup &a = fast.speedup, &b = slow.speedup;
  if (positive(a.ratio) && a.against == slow.id) return {*a.ratio, a.low, a.high};
  for (const Speedup* held : {&slow.speedup, &slow.against_fastest})
    if (positive(held->ratio) && held->against == fast.id) return turned(*held);
  if (positive(a.ratio) && positive(b.ratio) && a.against == b.against) {
    if (!has_interval(a) || !has_interval(b)) return {*a.ratio / *b.ratio, std::nullopt, std::nullopt, true};
    return {*a.ratio / *b.ratio, *a.low / *b.high, *a.high / *b.low, true};
  }
  return {*fast.images_per_second.median / *slow.images_per_second.median, std::nullopt, std::nullopt};
}

}  // namespace fovea::report
