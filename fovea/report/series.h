// What there is to draw in the records of runs and of measurements.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "fovea/report/plot.h"
#include "fovea/report/record.h"

namespace fovea::report {

struct WholeRun {
  RunRecord record;
  std::vector<HistoryRow> history;
};
WholeRun read_whole_run(const std::filesystem::path& path);  // a result.json with history.csv beside it, or the folder of both

std::vector<Curve> curves_of(std::span<const WholeRun> runs);   // on validation images, else on those of training; labelled by what differs
std::vector<BarGroup> bars_of(std::span<const WholeRun> runs);  // one group for each model and batch size
std::vector<BarGroup> bars_of(std::span<const Measurement> speeds);  // of the same work on one machine the last one counts

std::string origin_of(std::span<const WholeRun> runs, std::span<const Measurement> speeds);  // machines and commits

}  // namespace fovea::report
