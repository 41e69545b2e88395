#include "fovea/report/remarks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "fovea/report/measures.h"

namespace fovea::report {
namespace {

// What is said, and of whom, in the order of the first: "a; b: text".
class Remarks {
 public:
  void add(const std::string& name, const std::string& text) {
    const auto found = std::find_if(remarks_.begin(), remarks_.end(), [&](const auto& remark) { return remark.second == text; });
    if (found == remarks_.end())
      remarks_.emplace_back(name, text);
    else
      found->first += "; " + name;
  }
  std::vector<std::string> lines() const {
    std::vector<std::string> lines;
    for (const auto& [names, text] : remarks_) lines.push_back(fmt::format("{}: {}", names, text));
    return lines;
  }

 private:
  std::vector<std::pair<std::string, std::string>> remarks_;
};

// "3 of 40 steps are onednn's own, 37 are openmp's"; empty where all are its own, or it is not known.
std::string kernels_of_others(const ComparedRow& row) {
  int64_t all = 0, own = 0;
  std::string others;
  for (const auto& [name, steps] : row.providers) {
    all += steps;
    if (name == row.backend)
      own = steps;
    else
      others += fmt::format("{} {} are {}'s", others.empty() ? "," : " and", steps, name);
  }
  if (own == all) return "";
  return fmt::format("{} of {} steps are {}'s own{}", own == 0 ? "none" : std::to_string(own), all, row.backend, others);
}

// Columns whose figures the same rows lack for the same reason.
struct Gap {
  std::string reason, rows;  // rows: "" where no row has the figure
  std::vector<std::string> columns;
};

std::vector<Gap> gaps_of(const Comparison& comparison, const FigureColumn& column) {
  std::vector<Gap> gaps;
  for (size_t i = 0; i < column.cells.size(); ++i) {
    const Cell& cell = column.cells[i];
    if (!cell.text.empty() || comparison.rows[i].status != Status::ran) continue;
    const std::string reason = cell.reason.empty() ? "no reason is recorded" : cell.reason;
    auto gap = std::find_if(gaps.begin(), gaps.end(), [&](const Gap& one) { return one.reason == reason; });
    if (gap == gaps.end()) gap = gaps.insert(gaps.end(), {reason, "", {std::string(column.title)}});
    gap->rows += (gap->rows.empty() ? "" : "; ") + comparison.rows[i].label;
  }
  return gaps;
}

void add(std::vector<Gap>& gaps, const Gap& more) {
  const auto same =
      std::find_if(gaps.begin(), gaps.end(), [&](const Gap& gap) { return gap.reason == more.reason && gap.rows == more.rows; });
  if (same == gaps.end())
    gaps.push_back(more);
  else
    same->columns.insert(same->columns.end(), more.columns.begin(), more.columns.end());
}

}  // namespace

std::vector<std::string> status_remarks(const Comparison& comparison) {
  Remarks remarks;
  for (const ComparedRow& row : comparison.rows)
    if (row.status != Status::ran) remarks.add(row.label, fmt::format("{}: {}", name_of(row.status), row.reason));
  return remarks.lines();
}

std::vector<std::string> kernel_remarks(const Comparison& comparison) {
  Remarks remarks;
  for (const ComparedRow& row : comparison.rows)
    if (const std::string text = kernels_of_others(row); !text.empty()) remarks.add(row.label, text);
  return remarks.lines();
}

std::vector<std::string> reason_remarks(const Comparison& comparison, const FigureTable& table) {
  std::vector<Gap> gaps;
  for (const FigureColumn& column : table.columns) {
    if (is_setting(column.source)) continue;
    for (const Gap& gap : gaps_of(comparison, column)) add(gaps, gap);
  }
  for (const FigureColumn& column : table.unknown) {
    const std::string reason = column.reason(comparison);
    add(gaps, {reason.empty() ? "no reason is recorded" : reason, "", {std::string(column.title)}});
  }
  Remarks remarks;
  for (const Gap& gap : gaps) {
    const std::string of = gap.rows.empty() ? "" : fmt::format(" of {}", gap.rows);
    remarks.add(fmt::format("{}{}", fmt::join(gap.columns, ", "), of), "not measured: " + gap.reason);
  }
  return remarks.lines();
}

std::vector<std::string> remarks(const Comparison& comparison, const FigureTable& table) {
  std::vector<std::string> lines = status_remarks(comparison);
  for (const std::vector<std::string>& more : {kernel_remarks(comparison), reason_remarks(comparison, table)})
    lines.insert(lines.end(), more.begin(), more.end());
  return lines;
}

std::string missing_figures(const Comparison& comparison, const FigureTable& table) {
  std::vector<std::string_view> some, all;
  for (const FigureColumn& column : table.columns)
    if (!is_setting(column.source) && !gaps_of(comparison, column).empty()) some.push_back(column.title);
  for (const FigureColumn& column : table.unknown) all.push_back(column.title);
  std::string text = all.empty() ? "" : fmt::format("{} of every row", fmt::join(all, ", "));
  if (!some.empty()) text += fmt::format("{}{} of some rows", all.empty() ? "" : "; ", fmt::join(some, ", "));
  return text;
}

}  // namespace fovea::report
