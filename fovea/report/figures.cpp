#include "fovea/report/figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "fovea/report/numbers.h"
#include "fovea/report/ranking.h"

namespace fovea::report {
namespace {

std::string ratio(double value) { return grouped(value, value < 100 ? 2 : 0); }
std::string known(const Known& value, NumberText text) { return value ? text(*value) : "not measured"; }

const ComparedRun* confused_run(const ComparedRow& row) {
  for (auto run = row.runs.rbegin(); run != row.runs.rend(); ++run)
    if (!run->confusion.empty()) return &*run;
  return nullptr;
}

CountGrid grid_of(const Comparison& comparison, const ComparedRun& run) {
  CountGrid grid{"predicted class", "true class", {}, {}, run.confusion};
  const size_t classes = run.confusion.size();
  const bool named = comparison.classes.size() == classes;
  bool short_names = true;
  for (const std::string& name : comparison.classes) short_names = short_names && name.size() <= 3;
  for (size_t i = 0; i < classes; ++i) {
    const std::string number = fmt::format("{}", i);
    const std::string name = named ? comparison.classes[i] : number;
    grid.row_names.push_back(short_names ? name : fmt::format("{} {}", number, name));
    grid.column_names.push_back(short_names ? name : number);
  }
  return grid;
}

std::vector<Column> data_of(const CountGrid& grid) {
  std::vector<Column> data = {{"true \\ predicted", Align::left, grid.row_names}};
  for (size_t column = 0; column < grid.counts.size(); ++column) {
    data.push_back({grid.column_names[column], Align::right, {}});
    for (const std::vector<int64_t>& row : grid.counts) data.back().cells.push_back(fmt::format("{}", row[column]));
  }
  return data;
}

}  // namespace

const ComparedRow* fastest_row(const Comparison& comparison) {
  const std::vector<const ComparedRow*> rows = by_speed(comparison);
  return rows.empty() ? nullptr : rows.front();
}

size_t place_of(const Comparison& comparison, const ComparedRow& row) { return static_cast<size_t>(&row - comparison.rows.data()); }

Figure speedup_figure(const Comparison& comparison) {
  Figure figure{"speedup", "Speed-up", "", "rows[].speedup", "", "", {}, {}};
  BarChart chart{"speed-up (times as fast), with its 95 % interval", 1, {}};
  figure.data = {{"row", Align::left, {}},   {"against", Align::left, {}}, {"speed-up", Align::right, {}},
                 {"from", Align::right, {}}, {"to", Align::right, {}},     {"verdict", Align::left, {}}};
  std::string against;
  for (const ComparedRow& row : comparison.rows) {
    const Speedup& speedup = row.speedup;
    if (!speedup.ratio) continue;
    const ComparedRow* first = find_row(comparison, speedup.against);
    against = first == nullptr ? speedup.against : first->label;
    const bool itself = speedup.against == row.id;
    chart.bars.push_back({row.label, itself ? "1" : with_interval(speedup.ratio, speedup.low, speedup.high, ratio), *speedup.ratio,
                          speedup.low.value_or(*speedup.ratio), speedup.high.value_or(*speedup.ratio), place_of(comparison, row)});
    const std::string cells[] = {row.label,
                                 against,
                                 ratio(*speedup.ratio),
                                 known(speedup.low, ratio),
                                 known(speedup.high, ratio),
                                 itself ? "compared with itself" : speedup.verdict};
    for (size_t i = 0; i < figure.data.size(); ++i) figure.data[i].cells.push_back(cells[i]);
  }
  if (chart.bars.empty()) {
    figure.reason = "no row has a speed-up";
    return figure;
  }
  figure.caption = fmt::format(
      "The speed of each row relative to {0}: 2 is twice as fast. The thin line across a bar is the 95 % interval, "
      "the dotted line is the speed of {0}.",
      against);
  figure.picture =
      bar_chart(chart, figure.id,
                {figure.title, fmt::format("Bars: speed relative to {}; the numbers are in the table below the picture.", against)});
  return figure;
}

Figure confusion_figure(const Comparison& comparison) {
  Figure figure{"confusion", "Confusion matrix", "", "rows[].runs[].confusion", "", "no run recorded its confusion matrix", {}, {}};
  const ComparedRow* chosen = fastest_row(comparison);
  if (chosen == nullptr || confused_run(*chosen) == nullptr) {
    chosen = nullptr;
    for (const ComparedRow& row : comparison.rows)
      if (chosen == nullptr && confused_run(row) != nullptr) chosen = &row;
  }
  if (chosen == nullptr) return figure;
  const ComparedRun& run = *confused_run(*chosen);
  const CountGrid grid = grid_of(comparison, run);
  figure.reason.clear();
  figure.caption = fmt::format(
      "Images by their true class (rows) and the class that the network gave them (columns); seed {} of {}. "
      "What lies on the diagonal is right; the stronger a colour, the larger the share of the row. An empty cell has no image.",
      run.seed, chosen->label);
  figure.picture = count_grid(
      grid, figure.id, {figure.title, fmt::format("A grid of counts, {0} by {0} classes, for {1}.", grid.counts.size(), chosen->label)});
  figure.data = data_of(grid);
  return figure;
}

std::vector<Figure> figures_of(const Comparison& comparison) {
  std::vector<Figure> figures = {speedup_figure(comparison)};
  for (auto part : {learning_figures, scaling_figures, resource_figures}) {
    std::vector<Figure> more = part(comparison);
    std::move(more.begin(), more.end(), std::back_inserter(figures));
  }
  figures.push_back(confusion_figure(comparison));
  return figures;
}

}  // namespace fovea::report
