#include "fovea/report/table.h"

#include <fmt/format.h>

#include <algorithm>

namespace fovea::report {
namespace {

using Text = std::string (*)(const RunRecord&);

// What a run was: in the title where all runs agree, else a column.
struct Setting {
  const char* title;
  Align align;
  Text text;
  const char* in_title;  // a format, with what parts it from the setting before
};
const Setting settings[] = {
    {"model", Align::left, [](const RunRecord& run) { return run.model; }, ", {}"},
    {"data", Align::left, [](const RunRecord& run) { return run.data; }, " on {}"},
    {"epochs", Align::right, [](const RunRecord& run) { return grouped(static_cast<double>(run.epochs), 0); }, ", epochs {}"},
    {"batch", Align::right, [](const RunRecord& run) { return grouped(static_cast<double>(run.batch), 0); }, ", batch {}"},
    {"seed", Align::right, [](const RunRecord& run) { return fmt::format("{}", run.seed); }, ", seed {}"},
    {"device", Align::left, [](const RunRecord& run) { return run.device; }, ", {}"},
    {"commit", Align::left, [](const RunRecord& run) { return run.commit; }, ", commit {}"},
};

std::string percent(double share) { return fmt::format("{:.2f} %", share * 100); }

Column column(const char* title, Align align, std::span<const RunRecord> runs, auto&& text) {
  Column column{title, align, {}};
  for (const RunRecord& run : runs) column.cells.push_back(text(run));
  return column;
}

bool all_agree(std::span<const RunRecord> runs, Text text) {
  return std::all_of(runs.begin(), runs.end(), [&](const RunRecord& run) { return text(run) == text(runs.front()); });
}

bool is_comparison(std::span<const RunRecord> runs) {
  const RunRecord& first = runs.front();
  const bool same_work = std::all_of(runs.begin(), runs.end(), [&](const RunRecord& run) {
    return run.model == first.model && run.data == first.data && run.batch == first.batch;
  });
  const bool same_engine = std::all_of(runs.begin(), runs.end(),
                                       [&](const RunRecord& run) { return run.backend == first.backend && run.threads == first.threads; });
  return same_work && !same_engine;
}

}  // namespace

std::string table(std::span<const RunRecord> runs, Style style) {
  std::string title;
  std::vector<Column> columns;
  for (const Setting& setting : settings) {
    if (all_agree(runs, setting.text))
      title += fmt::format(fmt::runtime(setting.in_title), setting.text(runs.front()));
    else
      columns.push_back(column(setting.title, setting.align, runs, setting.text));
  }
  columns.push_back(column("backend", Align::left, runs, [](const RunRecord& run) { return run.backend; }));
  columns.push_back(column("threads", Align::right, runs, [](const RunRecord& run) { return fmt::format("{}", run.threads); }));
  columns.push_back(column("images/s", Align::right, runs, [](const RunRecord& run) { return grouped(run.images_per_second, 0); }));
  if (is_comparison(runs)) {
    const double first = runs.front().images_per_second;
    columns.push_back(
        column("speed-up", Align::right, runs, [&](const RunRecord& run) { return grouped(run.images_per_second / first, 2); }));
  }
  columns.push_back(column("seconds", Align::right, runs, [](const RunRecord& run) { return grouped(run.train_seconds, 1); }));
  columns.push_back(column("test accuracy", Align::right, runs, [](const RunRecord& run) { return percent(run.test_accuracy); }));
  title.erase(0, title.find_first_not_of(", "));
  return fmt::format("{}\n\n{}", title, columns_text(columns, style));
}

}  // namespace fovea::report
