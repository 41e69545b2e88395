// The figures of a report: what each shows, in a picture, in words and as a table.
#pragma once

#include <string>
#include <vector>

#include "fovea/report/chart.h"
#include "fovea/report/columns.h"
#include "fovea/report/comparison.h"

namespace fovea::report {

struct LegendEntry {
  std::string label;
  size_t series = 0;
  Line::Kind kind = Line::Kind::measured;
};
struct Figure {
  std::string id, title;
  std::string caption;  // what is to be seen
  std::string source;   // the members of result.json that it is from
  std::string picture;  // SVG; "" where nothing was measured
  std::string reason;   // why not
  std::vector<LegendEntry> legend;
  std::vector<Column> data;
  Marks marks = Marks::none;  // where points stand alone, the legend shows them
};

std::vector<Figure> figures_of(const Comparison& comparison);  // all of them, also those for which nothing was measured

// Its parts, in the order in which they are shown.
Figure speedup_figure(const Comparison& comparison);
std::vector<Figure> learning_figures(const Comparison& comparison);  // loss and accuracy, against epochs and against time
std::vector<Figure> scaling_figures(const Comparison& comparison);   // by threads and by batch
std::vector<Figure> resource_figures(const Comparison& comparison);  // memory, utilisation and power over time, energy against time
Figure confusion_figure(const Comparison& comparison);

const ComparedRow* fastest_row(const Comparison& comparison);  // nullptr where no speed is known
size_t place_of(const Comparison& comparison, const ComparedRow& row);

}  // namespace fovea::report
