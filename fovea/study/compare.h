// The same training on every backend of this machine, in turns, and what it took: docs/comparison.md.
#pragma once

#include <filesystem>
#include <memory>

#include "fovea/backend/backend.h"
#include "fovea/study/compare_settings.h"
#include "fovea/study/comparison.h"

namespace fovea::study {

// What a row is.
struct Entry {
  std::string id, backend, precision;
  int64_t threads = 0, batch = 0;
};

// The folder of a training below that of its comparison, which has `seeds` trainings of each row.
std::string run_name(const std::string& row, int64_t seed, size_t seeds);

class CompareWatcher {
 public:
  virtual ~CompareWatcher() = default;
  virtual void on_stage(const std::string&) {}     // "seed 1: eigen-t1-fp32-b64, openmp-t2-fp32-b64"
  virtual void on_round(int64_t, int64_t) {}       // done, expected
  virtual void on_warning(const std::string&) {}   // "eigen-t1-fp32-b64: ..."; it is in the notes, too
  virtual bool stop_requested() { return false; }  // asked after every step: what is done by then is reported
  // In the place of the backend that a row names; nullptr: that one. Tests plant theirs here.
  virtual std::unique_ptr<Backend> backend_of(const Entry&) { return nullptr; }
};

// Runs are left in folders below `folder`, named by their rows. Throws Error (device) for a named backend that is absent, Error (config)
// where no row remains; a row that does not fit or fails is refused, and says why.
Comparison compare(const CompareSettings& settings, const std::filesystem::path& folder, CompareWatcher& watcher);

// The rows that these settings ask for, and those that are absent. A backend that is named twice has two equal rows.
struct Lineup {
  std::vector<Entry> entries;
  std::vector<Row> absent;
  std::vector<std::string> notes;
};
Lineup lineup_of(const CompareSettings& settings);

}  // namespace fovea::study
