#include "fovea/report/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "fovea/report/columns.h"

namespace fovea::report {
namespace {

constexpr double width = 400, line_height = 268, left = 54, right = 14, top = 30, foot = 46;
constexpr double small = 13;
constexpr double room_for_dots = 1.06;  // so that none lies on the frame

struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  void take(double value) { low = std::min(low, value), high = std::max(high, value); }
};

void draw_frame(Svg& svg, const Box& box, const LineChart& chart, const Axis& x, const Axis& y) {
  for (const double mark : y.marks()) {
    svg.line({box.x, y.at(mark)}, {box.x + box.width, y.at(mark)}, Ink::grid);
    svg.text({box.x - 7, y.at(mark) + 4}, y.text(mark), {Ink::faint, Anchor::end, small});
  }
  const double floor = box.y + box.height;
  double free_from = 0;
  for (const double mark : chart.x_marks.empty() ? x.marks() : chart.x_marks) {
    const std::string text = chart.x_marks.empty() ? x.text(mark) : grouped(mark, 0);
    const double half = text_width(text, small) / 2;
    svg.line({x.at(mark), floor}, {x.at(mark), floor + 4}, Ink::faint);
    const double middle = std::min(x.at(mark), width - half - 4);
    if (middle - half < free_from) continue;
    svg.text({middle, floor + 19}, text, {Ink::faint, Anchor::middle, small});
    free_from = middle + half + 6;
  }
  svg.line({box.x, floor}, {box.x + box.width, floor}, Ink::faint);
  svg.text({6, 16}, chart.y_title, {Ink::plain, Anchor::start, small});
  svg.text({box.x + box.width / 2, floor + 38}, chart.x_title, {Ink::plain, Anchor::middle, small});
}

// The part of a rising line that is not above `highest` (of pixels: not less); it ends at the border.
std::vector<Point> below(const std::vector<Point>& points, double highest) {
  std::vector<Point> part;
  for (const Point& point : points) {
    if (point.y >= highest) {
      part.push_back(point);
      continue;
    }
    if (!part.empty()) {
      const double share = (part.back().y - highest) / (part.back().y - point.y);
      part.push_back({part.back().x + share * (point.x - part.back().x), highest});
    }
    break;
  }
  return part;
}

void draw_line(Svg& svg, const Line& line, const Axis& x, const Axis& y, const Stroke& stroke) {
  std::vector<Point> places;
  for (const Point& point : line.points) places.push_back({x.at(point.x), y.at(point.y)});
  svg.path(line.kind == Line::Kind::ideal ? below(places, y.at(y.high())) : places, stroke);
}

}  // namespace

std::string line_chart(const LineChart& chart, std::string_view id, const Words& words) {
  Range across, up;
  for (const Line& line : chart.lines) {
    for (const Point& point : line.points) {
      across.take(point.x);
      if (line.kind != Line::Kind::ideal) up.take(point.y);
    }
    for (const Point& point : line.band) up.take(point.y);
  }
  const double room_for_ideal = 2 * up.high;
  for (const Line& line : chart.lines)
    if (line.kind == Line::Kind::ideal && !line.points.empty()) up.take(std::min(line.points.back().y, room_for_ideal));
  if (chart.y_from_zero) up.take(0);
  if (!chart.x_marks.empty()) across = {chart.x_marks.front(), chart.x_marks.back()};
  if (chart.marks == Marks::dots_alone) across.high *= room_for_dots, up.high *= room_for_dots;
  if (chart.x_marks.size() == 1) across = {across.low - 1, across.high + 1};
  Axis x =
      chart.x_marks.empty() ? Axis(chart.x_growth, across.low, across.high, 6) : Axis::between(chart.x_growth, across.low, across.high);
  Axis y(chart.y_growth, up.low, up.high, 5);
  const Box box = {left, top, width - left - right, line_height - top - foot};
  x.place(box.x, box.x + box.width);
  y.place(box.y + box.height, box.y);
  Svg svg;
  draw_frame(svg, box, chart, x, y);
  for (const Line& line : chart.lines) {
    std::vector<Point> outline;
    for (const Point& point : line.band) outline.push_back({x.at(point.x), y.at(point.y)});
    if (!outline.empty()) svg.area(outline, series_ink(line.series), 0.15);
  }
  // Lines may lie upon each other: the first ones are the widest.
  const auto measured = static_cast<double>(
      std::count_if(chart.lines.begin(), chart.lines.end(), [](const Line& line) { return line.kind == Line::Kind::measured; }));
  double rank = std::min(measured, 4.0);
  for (const Line& line : chart.lines) {
    Stroke stroke = series_stroke(line.series);
    if (line.kind == Line::Kind::ideal) stroke = ideal_stroke();
    if (line.kind == Line::Kind::beside) stroke.width = 1.2, stroke.opacity = 0.7;
    if (line.kind == Line::Kind::measured) stroke.width = 1.4 + 0.8 * rank, rank = std::max(1.0, rank - 1);
    if (line.kind != Line::Kind::measured || chart.marks != Marks::dots_alone) draw_line(svg, line, x, y, stroke);
    if (line.kind != Line::Kind::ideal && chart.marks != Marks::none)
      for (const Point& point : line.points) {
        const Symbol symbol = chart.marks == Marks::dots_alone ? series_symbol(line.series) : Symbol::circle;
        svg.symbol({x.at(point.x), y.at(point.y)}, chart.marks == Marks::dots_alone ? 7 : std::max(2.0, stroke.width), symbol, stroke.ink);
      }
  }
  return svg.inline_picture(width, line_height, id, words);
}

std::string bar_chart(const BarChart& chart, std::string_view id, const Words& words) {
  constexpr double pitch = 46, bar_height = 16, edge = 6;
  double text_room = 0;
  Range range;
  range.take(0);
  range.take(chart.mark);
  for (const IntervalBar& bar : chart.bars) {
    range.take(std::max(bar.value, bar.high));
    text_room = std::max(text_room, text_width(bar.text, small));
  }
  Axis x(Growth::linear, 0, range.high, 6);
  x.place(edge, width - edge - text_room - 16);
  const double floor = 34 + pitch * static_cast<double>(chart.bars.size());
  Svg svg;
  svg.text({edge, 16}, chart.title, {Ink::plain, Anchor::start, small});
  for (const double mark : x.marks()) {
    svg.line({x.at(mark), 26}, {x.at(mark), floor}, Ink::grid);
    svg.text({x.at(mark), floor + 17}, x.text(mark), {Ink::faint, mark == 0 ? Anchor::start : Anchor::middle, small});
  }
  for (size_t i = 0; i < chart.bars.size(); ++i) {
    const IntervalBar& bar = chart.bars[i];
    const double y = 32 + pitch * static_cast<double>(i);
    svg.text({edge, y + 14}, fitted_text(bar.label, small, width - 2 * edge), {Ink::strong, Anchor::start, small});
    svg.text({width - edge, y + 21 + bar_height * 0.78}, bar.text, {Ink::plain, Anchor::end, small});
    svg.cell({x.at(0), y + 21, std::max(1.0, x.at(bar.value) - x.at(0)), bar_height}, series_ink(bar.series), 0.85);
    svg.path(std::vector<Point>{{x.at(chart.mark), y + 18}, {x.at(chart.mark), y + 24 + bar_height}}, Stroke{Ink::strong, 2, 1.6});
    if (bar.high > bar.low) {
      const double middle = y + 21 + bar_height / 2;
      svg.path(std::vector<Point>{{x.at(bar.low), middle}, {x.at(bar.high), middle}}, Stroke{Ink::strong, 0, 1.6});
      for (const double end : {bar.low, bar.high})
        svg.path(std::vector<Point>{{x.at(end), middle - 5}, {x.at(end), middle + 5}}, Stroke{Ink::strong, 0, 1.6});
    }
  }
  return svg.inline_picture(width, floor + 26, id, words);
}

std::string count_grid(const CountGrid& grid, std::string_view id, const Words& words) {
  constexpr size_t most_names = 20;
  const size_t classes = grid.counts.size();
  double names_width = 0;
  for (const std::string& name : grid.row_names) names_width = std::max(names_width, text_width(name, small));
  const bool has_names = classes <= most_names;
  const double from = has_names ? std::min(120.0, names_width + 12) : 10;
  const double side = (width - from - 10) / static_cast<double>(classes), head = has_names ? 56 : 34;
  size_t longest = 1;
  for (const std::vector<int64_t>& row : grid.counts)
    for (const int64_t count : row) longest = std::max(longest, fmt::format("{}", count).size());
  const double size = std::min({small, side * 0.45, side / (0.7 * static_cast<double>(longest) + 0.4)});
  Svg svg;
  svg.text({6, 16}, fmt::format("{} (down), {} (across)", grid.y_title, grid.x_title), {Ink::plain, Anchor::start, small});
  for (size_t row = 0; row < classes; ++row) {
    const double y = head + side * static_cast<double>(row);
    const auto sum = static_cast<double>(std::accumulate(grid.counts[row].begin(), grid.counts[row].end(), int64_t{0}));
    if (has_names) {
      svg.text({from - 6, y + side / 2 + 4}, fitted_text(grid.row_names[row], std::min(small, side), from - 8),
               {Ink::plain, Anchor::end, std::min(small, side)});
      svg.text({from + side * (static_cast<double>(row) + 0.5), head - 8}, grid.column_names[row],
               {Ink::plain, Anchor::middle, std::min(small, side * 0.6)});
    }
    for (size_t column = 0; column < classes; ++column) {
      const double x = from + side * static_cast<double>(column), share = sum > 0 ? static_cast<double>(grid.counts[row][column]) / sum : 0;
      svg.cell({x + 0.5, y + 0.5, side - 1, side - 1}, row == column ? Ink::series0 : Ink::series1, 0.04 + 0.5 * std::sqrt(share));
      if (has_names && grid.counts[row][column] > 0)
        svg.text({x + side / 2, y + side / 2 + size * 0.36}, fmt::format("{}", grid.counts[row][column]),
                 {Ink::plain, Anchor::middle, size});
    }
  }
  return svg.inline_picture(width, head + side * static_cast<double>(classes) + 8, id, words);
}

}  // namespace fovea::report
