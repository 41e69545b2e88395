#include "fovea/report/tidy.h"

#include <fmt/format.h>

#include "fovea/report/measures.h"
#include "fovea/report/numbers.h"

namespace fovea::report {
namespace {

std::string escaped(const std::string& field) {
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  std::string text = "\"";
  for (const char letter : field) text += letter == '"' ? std::string("\"\"") : std::string(1, letter);
  return text + '"';
}

std::string whole(const std::optional<int64_t>& value) { return value ? fmt::format("{}", *value) : ""; }

// Where a value stands: of a row as a whole, or at a place of one of its runs.
struct Place {
  std::string scope = "row", seed = "", at = "";
};

class Lines {
 public:
  void begin_row(const ComparedRow& row) {
    settings_ = fmt::format("{},{},{},{},{},{},{}", escaped(row.id), name_of(row.status), escaped(row.backend), escaped(row.device),
                            whole(row.threads), escaped(row.precision), whole(row.batch));
  }
  void add(const Place& place, const std::string& metric, const char* statistic, const std::string& unit, const Known& value,
           const std::string& reason = "") {
    text_ += fmt::format("{},{},{},{},{},{},{},{},{}\n", settings_, place.scope, place.seed, escaped(place.at), metric, statistic,
                         escaped(unit), value ? exact(*value) : "", value ? "" : escaped(reason));
  }
  // Only what is known: of the places in a run there are many.
  void add_known(const Place& place, const char* metric, const char* unit, const Known& value) {
    if (value) add(place, metric, "value", unit, value);
  }
  std::string text() && { return std::move(text_); }

 private:
  std::string settings_;
  std::string text_ = "row,status,backend,device,threads,precision,batch,scope,seed,at,metric,statistic,unit,value,reason\n";
};

void add_spread(Lines& lines, const char* metric, const char* unit, const Spread& spread) {
  const std::string& of = spread.unit.empty() ? unit : spread.unit;
  lines.add({}, metric, "median", of, spread.median, spread.reason);
  const std::pair<const char*, Known> rest[] = {
      {"quartile_1", spread.q1}, {"quartile_3", spread.q3}, {"interval_low", spread.low}, {"interval_high", spread.high}};
  for (const auto& [statistic, value] : rest)
    if (value) lines.add({}, metric, statistic, of, value);
  if (spread.count) lines.add({}, metric, "count", "", static_cast<double>(*spread.count));
}

void add_score(Lines& lines, const char* metric, const Score& score) {
  lines.add({}, metric, "mean", "share", score.mean, score.reason);
  if (score.deviation) lines.add({}, metric, "standard_deviation", "share", score.deviation);
  if (score.count) lines.add({}, metric, "count", "", static_cast<double>(*score.count));
}

void add_held(Lines& lines, const char* metric, const Speedup& held) {
  lines.add({}, metric, "ratio", "", held.ratio, held.reason);
  if (held.low) lines.add({}, metric, "interval_low", "", held.low);
  if (held.high) lines.add({}, metric, "interval_high", "", held.high);
}

void add_row(Lines& lines, const ComparedRow& row) {
  lines.begin_row(row);
  const std::string why = row.status == Status::ran ? "" : row.reason;
  add_spread(lines, "images_per_second", "images/s", row.images_per_second);
  add_spread(lines, "ms_per_step", "ms", row.ms_per_step);
  add_spread(lines, "s_per_epoch", "s", row.s_per_epoch);
  add_spread(lines, "time_to_target_s", "s", row.time_to_target);
  add_score(lines, "train_accuracy", row.train_accuracy);
  add_score(lines, "valid_accuracy", row.valid_accuracy);
  add_score(lines, "test_accuracy", row.test_accuracy);
  const Energy& energy = row.energy;
  const struct {
    const char *metric, *unit;
    Known value;
    std::string reason;
  } single[] = {{"peak_host_bytes", "bytes", row.peak_host_bytes, row.peak_host_reason},
                {"peak_device_bytes", "bytes", row.peak_device_bytes, row.peak_device_reason},
                {"predicted_bytes", "bytes", row.predicted_bytes, row.predicted_reason},
                {"gross_joules_per_image", "J", energy.gross_per_image, energy.reason},
                {"net_joules_per_image", "J", energy.net_per_image, energy.reason},
                {"gross_joules", "J", energy.gross, energy.reason},
                {"net_joules", "J", energy.net, energy.reason},
                {"cpu_joules", "J", energy.cpu, energy.reason},
                {"dram_joules", "J", energy.dram, energy.reason},
                {"gpu_joules", "J", energy.gpu, energy.reason},
                {"energy_coverage", "share", energy.coverage, energy.reason},
                {"roof_fraction", "share", row.roof.fraction, row.roof.reason},
                {"flops_per_s", "1/s", row.roof.flops, row.roof.reason},
                {"roof_flops_per_s", "1/s", row.roof.roof_flops, row.roof.reason}};
  for (const auto& value : single) lines.add({}, value.metric, "value", value.unit, value.value, value.reason.empty() ? why : value.reason);
  add_held(lines, "speedup", row.speedup);
  if (!row.against_fastest.against.empty()) add_held(lines, "against_fastest", row.against_fastest);
}

void add_run(Lines& lines, const ComparedRun& run) {
  Place place{"run", fmt::format("{}", run.seed), ""};
  lines.add_known(place, "seconds", "s", run.seconds);
  place.scope = "step sample";
  for (size_t i = 0; i < run.step_ms.size(); ++i) {
    place.at = fmt::format("{}", i + 1);
    lines.add_known(place, "step", "ms", run.step_ms[i]);
  }
  place.scope = "round";
  for (const Slice& slice : run.slices) {
    place.at = fmt::format("{}", slice.round);
    lines.add_known(place, "images", "images", slice.images);
    lines.add_known(place, "seconds", "s", slice.seconds);
  }
  place.scope = "epoch";
  for (const EpochFigures& epoch : run.epochs) {
    place.at = fmt::format("{}", epoch.epoch);
    lines.add_known(place, "seconds", "s", epoch.seconds);
    lines.add_known(place, "train_loss", "nats", epoch.train_loss);
    lines.add_known(place, "train_accuracy", "share", epoch.train_accuracy);
    lines.add_known(place, "valid_loss", "nats", epoch.valid_loss);
    lines.add_known(place, "valid_accuracy", "share", epoch.valid_accuracy);
  }
  place.scope = "second";
  for (const Moment& moment : run.moments) {
    place.at = exact(moment.seconds);
    lines.add_known(place, "cpu", "share", moment.cpu);
    lines.add_known(place, "machine_cpu", "share", moment.machine_cpu);
    lines.add_known(place, "gpu", "share", moment.gpu);
    lines.add_known(place, "host_bytes", "bytes", moment.host_bytes);
    lines.add_known(place, "device_bytes", "bytes", moment.device_bytes);
    lines.add_known(place, "cpu_watts", "W", moment.cpu_watts);
    lines.add_known(place, "gpu_watts", "W", moment.gpu_watts);
  }
  place.scope = "true/predicted";
  for (size_t truth = 0; truth < run.confusion.size(); ++truth)
    for (size_t predicted = 0; predicted < run.confusion.size(); ++predicted) {
      place.at = fmt::format("{}/{}", truth, predicted);
      lines.add_known(place, "confusion", "images", static_cast<double>(run.confusion[truth][predicted]));
    }
}

}  // namespace

std::string tidy_csv(const Comparison& comparison) {
  Lines lines;
  for (const ComparedRow& row : comparison.rows) {
    add_row(lines, row);
    for (const ComparedRun& run : row.runs) add_run(lines, run);
  }
  return std::move(lines).text();
}

}  // namespace fovea::report
