// A comparison in the forms that other programs read: tidy CSV, event files of TensorBoard, logs as MLPerf has them.
#pragma once

#include <string>
#include <vector>

#include "fovea/report/comparison.h"

namespace fovea::report {

// One line for each value: row, its settings, where in the run, metric, statistic, unit, value, and why it is missing. RFC 4180.
std::string tidy_csv(const Comparison& comparison);

struct NamedFile {
  std::string name;  // a path below the folder of the comparison
  std::string bytes;
};
std::vector<NamedFile> tensorboard_files(const Comparison& comparison);  // tensorboard/ROW/RUN/events.out.tfevents...
std::vector<NamedFile> mlperf_logs(const Comparison& comparison);        // mlperf/ROW-RUN.log

}  // namespace fovea::report
