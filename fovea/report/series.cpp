#include "fovea/report/series.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "fovea/base/file.h"
#include "fovea/report/columns.h"

namespace fovea::report {
namespace {

std::string threads_text(int64_t threads) { return fmt::format("{} thread{}", threads, threads == 1 ? "" : "s"); }
std::string batch_text(int64_t batch) { return fmt::format("batch {}", grouped(static_cast<double>(batch), 0)); }

// "mnist" of "mnist (a/folder)"; that data is synthetic is never left out.
std::string short_title(const std::string& data) {
  const std::string name = data.substr(0, data.find(" ("));
  return data.find("synthetic") == std::string::npos ? name : name + " (synthetic)";
}

using Text = std::string (*)(const RunRecord&);
const Text settings[] = {
    [](const RunRecord& run) { return fmt::format("{} on {}", run.model, short_title(run.data)); },
    [](const RunRecord& run) { return run.backend; },
    [](const RunRecord& run) { return threads_text(run.threads); },
    [](const RunRecord& run) { return batch_text(run.batch); },
    [](const RunRecord& run) { return fmt::format("seed {}", run.seed); },
    [](const RunRecord& run) { return run.file; },
};

bool all_different(std::vector<std::string> texts) {
  std::sort(texts.begin(), texts.end());
  return std::adjacent_find(texts.begin(), texts.end()) == texts.end();
}

// Labels that tell the runs apart, made of as few settings as that takes.
std::vector<std::string> labels_of(std::span<const WholeRun> runs) {
  if (runs.size() == 1) return {settings[0](runs[0].record)};
  std::vector<std::string> labels(runs.size());
  for (const Text text : settings) {
    const std::string first = text(runs.front().record);
    if (std::all_of(runs.begin(), runs.end(), [&](const WholeRun& run) { return text(run.record) == first; })) continue;
    for (size_t i = 0; i < runs.size(); ++i) labels[i] += (labels[i].empty() ? "" : ", ") + text(runs[i].record);
    if (all_different(labels)) break;
  }
  return labels;
}

BarGroup& group_of(std::vector<BarGroup>& groups, const std::string& title) {
  const auto found = std::find_if(groups.begin(), groups.end(), [&](const BarGroup& group) { return group.title == title; });
  return found != groups.end() ? *found : groups.emplace_back(BarGroup{title, {}});
}

}  // namespace

WholeRun read_whole_run(const std::filesystem::path& path) {
  const std::filesystem::path folder = is_folder(path) ? path : path.parent_path();
  return {read_run(path), read_history(folder / "history.csv")};
}

std::vector<Curve> curves_of(std::span<const WholeRun> runs) {
  if (runs.empty()) return {};
  const std::vector<std::string> labels = labels_of(runs);
  std::vector<Curve> curves;
  for (size_t i = 0; i < runs.size(); ++i) {
    const bool validated = runs[i].history.back().valid_accuracy.has_value();
    Curve curve{labels[i], validated ? "validation" : "training", {}};
    for (const HistoryRow& row : runs[i].history) curve.accuracy.push_back(row.valid_accuracy.value_or(row.train_accuracy));
    curves.push_back(curve);
  }
  return curves;
}

std::vector<BarGroup> bars_of(std::span<const WholeRun> runs) {
  std::vector<BarGroup> groups;
  for (const WholeRun& run : runs) {
    const RunRecord& record = run.record;
    group_of(groups, fmt::format("{}, {}", record.model, batch_text(record.batch)))
        .bars.push_back({fmt::format("{}, {}", record.backend, threads_text(record.threads)), record.images_per_second});
  }
  return groups;
}

std::vector<BarGroup> bars_of(std::span<const Measurement> speeds) {
  const bool one_machine =
      std::all_of(speeds.begin(), speeds.end(), [&](const Measurement& speed) { return speed.cpu == speeds.front().cpu; });
  std::vector<BarGroup> groups;
  for (const Measurement& speed : speeds) {
    const std::string work = fmt::format("{}, {}, {}", speed.model, batch_text(speed.batch), threads_text(speed.threads));
    BarGroup& group = group_of(groups, one_machine ? work : fmt::format("{}, {}", work, speed.cpu));
    group.bars.clear();
    for (const auto& [label, median] : speed.medians) group.bars.push_back({label, median});
  }
  return groups;
}

std::string origin_of(std::span<const WholeRun> runs, std::span<const Measurement> speeds) {
  std::vector<std::string> parts;
  const auto add = [&](const std::string& part) {
    const bool known = std::any_of(parts.begin(), parts.end(), [&](const std::string& earlier) { return earlier.starts_with(part); });
    if (!known) parts.push_back(part);
  };
  for (const WholeRun& run : runs) add(run.record.device);
  for (const Measurement& speed : speeds) add(speed.cpu);
  for (const WholeRun& run : runs) add("commit " + run.record.commit);
  for (const Measurement& speed : speeds) add("commit " + speed.commit);
  return fmt::format("{}", fmt::join(parts, " · "));
}

}  // namespace fovea::report
