// The kinds of pictures in a report, each drawn for a place as narrow as a phone.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/report/scale.h"
#include "fovea/report/svg.h"

namespace fovea::report {

struct Line {
  enum class Kind : uint8_t { measured, beside, ideal };  // beside: what is of less interest than the others
  size_t series = 0;                                      // decides colour and dashes
  std::vector<Point> points;                              // values, not pixels
  std::vector<Point> band = {};                           // an outline of where single runs lie, or empty
  Kind kind = Kind::measured;
};
enum class Marks : uint8_t { none, dots, dots_alone };  // at the points of measured lines; alone: without the lines
struct LineChart {
  std::string x_title, y_title;  // with units
  Growth x_growth = Growth::linear, y_growth = Growth::linear;
  bool y_from_zero = false;
  std::vector<double> x_marks = {};  // where the axis across has marks, rising; empty: at round numbers
  Marks marks = Marks::none;
  std::vector<Line> lines;  // at least one with a point
};
std::string line_chart(const LineChart& chart, std::string_view id, const Words& words);

struct IntervalBar {
  std::string label, text;  // text: the value in words
  double value = 0, low = 0, high = 0;
  size_t series = 0;
};
struct BarChart {
  std::string title;  // of the values, with their unit
  double mark = 1;    // a line for what all are compared with
  std::vector<IntervalBar> bars;
};
std::string bar_chart(const BarChart& chart, std::string_view id, const Words& words);

struct CountGrid {
  std::string x_title, y_title;
  std::vector<std::string> row_names, column_names;
  std::vector<std::vector<int64_t>> counts;  // as many rows as columns
};
std::string count_grid(const CountGrid& grid, std::string_view id, const Words& words);  // each cell as dark as its share of its row

}  // namespace fovea::report
