// A comparison as a table: a row for each way to train, a column for each figure that is known of at least one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "fovea/report/columns.h"
#include "fovea/report/comparison.h"

namespace fovea::report {

enum class Weight : uint8_t { main, detail };  // details have no room on a terminal

struct Cell {
  std::string text;           // "" where the figure is not known
  std::string reason = "";    // why not, or ""
  std::string interval = "";  // "1.85 to 1.91", or "" where there is none
};
struct FigureColumn {
  std::string_view title;   // with the unit: "ms/step"
  std::string_view source;  // the member of result.json that it is from: "images_per_second"
  Align align = Align::right;
  Weight weight = Weight::main;
  std::vector<Cell> cells;                                 // one for each row
  bool is_known() const;                                   // of any row
  std::string reason(const Comparison& comparison) const;  // why a figure is not known, of the first row that ran and says it
};

struct FigureTable {
  std::string shared;                 // the settings that all rows have: "fp32, batch 64"
  std::vector<FigureColumn> columns;  // settings first, then what came out
  std::vector<FigureColumn> unknown;  // of which nothing is known
};
FigureTable figure_table(const Comparison& comparison);

// The same with a title before and, below it, what is not known and why.
std::string comparison_table(const Comparison& comparison, Style style);

}  // namespace fovea::report
