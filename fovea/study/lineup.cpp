// Which rows a comparison has.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "fovea/backend/registry.h"
#include "fovea/base/error.h"
#include "fovea/base/thread.h"
#include "fovea/device/device.h"
#include "fovea/study/compare.h"
#include "fovea/study/contestant.h"

namespace fovea::study {
namespace {

std::vector<BackendEntry> chosen(const CompareSettings& settings) {
  const std::vector<BackendEntry> known = list_backends();
  std::vector<BackendEntry> result;
  if (settings.backends.empty()) {
    std::copy_if(known.begin(), known.end(), std::back_inserter(result),
                 [](const BackendEntry& entry) { return entry.purpose == Purpose::speed; });
    return result;
  }
  for (const std::string& name : settings.backends) {
    const auto found = std::find_if(known.begin(), known.end(), [&](const BackendEntry& entry) { return entry.name == name; });
    if (found == known.end() || (!found->absent_because.empty() && settings.absent == CompareSettings::Absent::refused))
      open_backend(name);  // throws
    result.push_back(*found);
  }
  return result;
}

Row absent_row(const std::string& name, const std::string& reason) {
  Row row;
  row.id = row.backend = name;
  std::replace(row.id.begin(), row.id.end(), ' ', '-');
  row.status = RowStatus::absent;
  row.reason = reason;
  return row;
}

// What the backend makes of a number of threads: those that its kernels take.
std::vector<int64_t> thread_counts(const BackendEntry& entry, const std::vector<int64_t>& asked) {
  const std::unique_ptr<Backend> backend = open_backend(entry.name);
  const Conv2dForward large = {{.n = 64, .h = 64, .w = 64, .c = 32, .k = 64, .window = {.r = 3, .s = 3}}, {}};
  std::vector<int64_t> counts;
  for (const int64_t count : asked) {
    const Limits limits = {static_cast<int>(count == 0 ? usable_cores() : count)};
    const KernelPtr kernel = make(*backend, large, limits);
    counts.push_back(kernel->threads());
  }
  std::vector<int64_t> once;
  for (const int64_t count : counts)
    if (std::find(once.begin(), once.end(), count) == once.end()) once.push_back(count);
  return once;
}

// Behind the first of rows that have the same name, the others are counted.
void number_equal_ones(std::vector<Entry>& entries) {
  std::map<std::string, int> seen;
  for (Entry& entry : entries)
    if (const int count = ++seen[entry.id]; count > 1) entry.id += fmt::format("-{}", count);
}

}  // namespace

Lineup lineup_of(const CompareSettings& settings) {
  Lineup lineup;
  for (const BackendEntry& backend : chosen(settings)) {
    if (!backend.absent_because.empty()) {
      lineup.absent.push_back(absent_row(backend.name, fmt::format("{}; {}", backend.absent_because, backend.remedy)));
      continue;
    }
    for (const std::string& precision : settings.precisions) {
      try {
        require_precision(backend.name, precision);
      } catch (const Error& error) {
        if (!graph::precision_named(precision)) throw;
        lineup.notes.push_back(error.message());
        continue;
      }
      for (const int64_t threads : thread_counts(backend, settings.threads))
        for (const int64_t batch : settings.batches)
          lineup.entries.push_back(
              {fmt::format("{}-t{}-{}-b{}", backend.name, threads, precision, batch), backend.name, precision, threads, batch});
    }
  }
  number_equal_ones(lineup.entries);
  for (const MissingRow& missing : settings.missing) lineup.absent.push_back(absent_row(missing.name, missing.reason));
  if (lineup.entries.empty()) {
    Error error(ErrorId::contradiction, "nothing is left to compare");
    for (const Row& row : lineup.absent) error.note(fmt::format("{} is absent: {}", row.backend, row.reason));
    for (const std::string& note : lineup.notes) error.note(note);
    throw error.help("`fovea doctor` lists the backends of this machine, and what helps where one is absent");
  }
  return lineup;
}

}  // namespace fovea::study
