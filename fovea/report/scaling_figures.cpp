// What more threads and larger batches give.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "fovea/report/figures.h"
#include "fovea/report/numbers.h"
#include "fovea/report/ranking.h"

namespace fovea::report {
namespace {

using Count = std::optional<int64_t> ComparedRow::*;

struct Way {  // of growing
  const char *id, *title, *x_title, *ideal, *flag;
  Count grows, stays;
  Growth growth;
};
constexpr Way ways[] = {
    {"threads", "Thread scaling", "threads", "ideal: twice the threads, twice the speed", "--threads 1,2,4", &ComparedRow::threads,
     &ComparedRow::batch, Growth::linear},
    {"batch", "Batch scaling", "batch (images per step)", "ideal: a larger batch takes no longer", "--batch 32,64,128", &ComparedRow::batch,
     &ComparedRow::threads, Growth::doubling},
};

std::string family_of(const ComparedRow& row, const Way& way) {
  std::string name = row.backend;
  if (!row.precision.empty() && row.precision != "fp32") name += ", " + row.precision;
  if (row.*way.stays)
    name += way.stays == &ComparedRow::threads ? fmt::format(", {} thread{}", *(row.*way.stays), *(row.*way.stays) == 1 ? "" : "s")
                                               : fmt::format(", batch {}", *(row.*way.stays));
  return name;
}

struct Family {
  std::string name;
  std::map<int64_t, const ComparedRow*> rows;  // by what grows
};

std::vector<Family> families_of(const Comparison& comparison, const Way& way) {
  std::vector<Family> families;
  for (const ComparedRow& row : comparison.rows) {
    if (!(row.*way.grows) || row.status == Status::absent) continue;
    const std::string name = family_of(row, way);
    auto found = std::find_if(families.begin(), families.end(), [&](const Family& family) { return family.name == name; });
    if (found == families.end()) found = families.insert(families.end(), {name, {}});
    found->rows.try_emplace(*(row.*way.grows), &row);
  }
  return families;
}

bool has_speed(const ComparedRow& row) { return row.images_per_second.median && *row.images_per_second.median > 0; }

// `first`: that of the family with a speed that all its lines begin at.
void add_data(Figure& figure, const Family& family, const ComparedRow& first) {
  for (const auto& [count, row] : family.rows) {
    const bool known = has_speed(*row);
    const std::string missing = row->status == Status::ran ? "not measured" : name_of(row->status);
    const std::string cells[] = {family.name,
                                 grouped(static_cast<double>(count), 0),
                                 known ? digits(*row->images_per_second.median) : missing,
                                 known ? grouped(lead_of(*row, first).ratio, 2) : missing,
                                 row->s_per_epoch.median ? digits(*row->s_per_epoch.median) : missing,
                                 row->status == Status::ran ? "" : row->reason};
    for (size_t column = 0; column < figure.data.size(); ++column) figure.data[column].cells.push_back(cells[column]);
  }
}

Figure scaling_figure(const Comparison& comparison, const Way& way) {
  Figure figure{way.id, way.title, "", "rows[].speedup, rows[].images_per_second", "", "", {}, {}};
  LineChart chart{
      way.x_title, "speed-up (times the speed at the left end)", way.growth, way.growth, way.growth == Growth::linear, {}, Marks::dots, {}};
  figure.data = {{"backend", Align::left, {}},   {way.x_title, Align::right, {}}, {"images/s", Align::right, {}},
                 {"speed-up", Align::right, {}}, {"s/epoch", Align::right, {}},   {"remark", Align::left, {}}};
  std::set<double> counts;
  for (const Family& family : families_of(comparison, way)) {
    Line line;
    const ComparedRow* first = nullptr;
    for (const auto& [count, row] : family.rows) {
      if (!has_speed(*row)) continue;
      if (first == nullptr) first = row, line.series = place_of(comparison, *row);
      line.points.push_back({static_cast<double>(count), lead_of(*row, *first).ratio});
    }
    if (line.points.size() < 2) continue;
    for (const Point& point : line.points) counts.insert(point.x);
    add_data(figure, family, *first);
    figure.legend.push_back({family.name, line.series, Line::Kind::measured});
    chart.lines.push_back(std::move(line));
  }
  if (chart.lines.empty()) {
    figure.data.clear();
    figure.reason = fmt::format("no two rows that ran differ in {} alone; `{}` measures it", way.id, way.flag);
    return figure;
  }
  chart.x_marks.assign(counts.begin(), counts.end());
  Line ideal{0, {}, {}, Line::Kind::ideal};
  for (const double count : counts) ideal.points.push_back({count, count / *counts.begin()});
  chart.lines.push_back(std::move(ideal));
  figure.legend.push_back({way.ideal, 0, Line::Kind::ideal});
  figure.caption = fmt::format("Training speed relative to that of the least {} of the same backend; the dotted line is the {}.",
                               way.growth == Growth::linear ? "threads" : "batch", way.ideal);
  figure.picture =
      line_chart(chart, figure.id,
                 {figure.title, fmt::format("Lines: speed-up against {}; the numbers are in the table below the picture.", way.x_title)});
  return figure;
}

}  // namespace

std::vector<Figure> scaling_figures(const Comparison& comparison) {
  std::vector<Figure> figures;
  for (const Way& way : ways) figures.push_back(scaling_figure(comparison, way));
  return figures;
}

}  // namespace fovea::report
