#include "fovea/report/measures.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "fovea/base/error.h"
#include "fovea/report/numbers.h"

namespace fovea::report {
namespace {

constexpr auto all = std::to_array<Measure>({
    {"speedup",
     "ratio of the speeds of this row and of the one that it is held against, measured in turns in one process; its 95 % interval by "
     "bootstrap"},
    {"images_per_second",
     "median speed of training, gathering and augmenting included, evaluation not; the 95 % interval of the median by bootstrap"},
    {"ms_per_step", "median time of one update, clock of the host after the device has finished; 95 % interval by bootstrap"},
    {"s_per_epoch", "median time of one pass over the training images, evaluation not counted; 95 % interval by bootstrap"},
    {"time_to_target_s", "median time of training until an epoch ends with the target accuracy on the validation images"},
    {"train_accuracy",
     "share of the training images of the last epoch that were classified correctly while the weights changed; mean ± standard deviation "
     "over the seeds"},
    {"valid_accuracy", "share of the validation images after the last epoch; mean ± standard deviation over the seeds"},
    {"test_accuracy", "share of the test images; mean ± standard deviation over the seeds"},
    {"peak_host_bytes", "the largest resident size of the process while this row trained"},
    {"peak_device_bytes", "the most memory that was taken on the device while this row trained"},
    {"predicted_bytes", "what the plans said before the first step that they would hold on the device"},
    {"energy.net_joules_per_image",
     "energy of the run less idle power times its duration, divided by the images trained on; the method stands in the figure of energy"},
    {"energy.gross_joules_per_image", "all energy of the run divided by the images trained on"},
    {"energy.gross_joules", "all energy of the runs of the row"},
    {"roof.fraction",
     "floating-point operations of the network per second over the most that this machine was measured to do on as many threads; in "
     "parentheses what bounds it"},
});

constexpr std::string_view settings[] = {"backend", "threads", "precision", "batch", "device"};

struct Repeated {
  const char *name, *unit;
  Spread ComparedRow::*spread;
};
constexpr Repeated repeated[] = {{"images_per_second", "images/s", &ComparedRow::images_per_second},
                                 {"ms_per_step", "ms", &ComparedRow::ms_per_step},
                                 {"s_per_epoch", "s", &ComparedRow::s_per_epoch},
                                 {"time_to_target_s", "s", &ComparedRow::time_to_target}};

}  // namespace

std::span<const Measure> measures() { return all; }

size_t measure_number(std::string_view source) {
  for (size_t i = 0; i < all.size(); ++i)
    if (all[i].source == source) return i + 1;
  throw Error(ErrorId::internal, fmt::format("`{}` has no source", source));
}

bool is_setting(std::string_view source) { return std::find(std::begin(settings), std::end(settings), source) != std::end(settings); }

std::vector<Column> spread_columns(const Comparison& comparison) {
  std::vector<Column> columns = {{"row", Align::left, {}},         {"figure", Align::left, {}},      {"median", Align::right, {}},
                                 {"quartile 1", Align::right, {}}, {"quartile 3", Align::right, {}}, {"95 % from", Align::right, {}},
                                 {"95 % to", Align::right, {}},    {"values", Align::right, {}}};
  for (const ComparedRow& row : comparison.rows)
    for (const Repeated& figure : repeated) {
      const Spread& spread = row.*figure.spread;
      const auto number = [](const Known& value) { return value ? digits(*value) : "–"; };
      const std::string cells[] = {
          row.label,
          fmt::format("{} ({})", figure.name, spread.unit.empty() ? figure.unit : spread.unit.c_str()),
          spread.median ? digits(*spread.median) : "not measured" + (spread.reason.empty() ? "" : ": " + spread.reason),
          number(spread.q1),
          number(spread.q3),
          number(spread.low),
          number(spread.high),
          spread.count ? fmt::format("{}", *spread.count) : "–"};
      for (size_t i = 0; i < columns.size(); ++i) columns[i].cells.push_back(cells[i]);
    }
  return columns;
}

std::string value_with_unit(const std::string& key, const std::string& value) {
  double number = 0;
  const auto [end, failure] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (!key.ends_with("_bytes") || failure != std::errc() || end != value.data() + value.size()) return value;
  return bytes(number);
}

}  // namespace fovea::report
