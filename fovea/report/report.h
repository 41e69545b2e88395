// The report of a comparison: everything that is made from its result.json, beside it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "fovea/report/comparison_table.h"

namespace fovea::report {

enum class RunLogs : uint8_t { none, mlperf };

// Reads result.json in `folder` and writes report.html, result.csv, table.md and tensorboard/ there, and mlperf/ where it is asked for.
// Each file is replaced atomically. Throws Error (data).
void write_report(const std::filesystem::path& folder, RunLogs logs = RunLogs::none);

}  // namespace fovea::report
