// What is said beside the table of a comparison: rows that did not run, kernels of others, figures that are not known, each for its reason.
#pragma once

#include <string>
#include <vector>

#include "fovea/report/comparison_table.h"

namespace fovea::report {

std::vector<std::string> status_remarks(const Comparison& comparison);  // rows that did not run
std::vector<std::string> kernel_remarks(const Comparison& comparison);  // rows whose steps are in part those of other backends
// Each reason once, with the columns and rows that lack a figure for it.
std::vector<std::string> reason_remarks(const Comparison& comparison, const FigureTable& table);

std::vector<std::string> remarks(const Comparison& comparison, const FigureTable& table);  // all of them

// The columns that lack a figure, without reasons: "time to target of every row; peak device of some rows"; "" if none does.
std::string missing_figures(const Comparison& comparison, const FigureTable& table);

}  // namespace fovea::report
