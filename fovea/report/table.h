// Runs side by side.
#pragma once

#include <span>
#include <string>

#include "fovea/report/columns.h"
#include "fovea/report/record.h"

namespace fovea::report {

// A title with what all runs share, a column for whatever differs, and what came out. Where runs on several backends or numbers of
// threads share model, data and batch, their speed is also given relative to the first. `runs` is not empty.
std::string table(std::span<const RunRecord> runs, Style style);

}  // namespace fovea::report
