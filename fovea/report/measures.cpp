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
     "median, over the rounds, of the ratio of this row's turn to that of the row which it is held against in the same round, with its 95 "
     "% interval"},
    {"images_per_second",
     "median over the turns of the row: images trained on by the seconds that this took, gathering and augmenting included, evaluation "
     "not; below it the 95 % interval of the median"},
    {"ms_per_step", "median over the turns: seconds by the updates made; below it the 95 % interval of the median"},
    {"s_per_epoch", "median over the epochs: seconds of training, evaluation not counted"},
    {"time_to_target_s",
     "median over the seeds: seconds of training until an epoch ends with the target accuracy on the validation images"},
    {"train_accuracy",
     "share of the training images classified correctly while the weights changed; mean ± standard deviation over the seeds"},
    {"valid_accuracy", "share of the validation images, of the weights that were kept; mean ± standard deviation over the seeds"},
    {"test_accuracy", "share of the test images, of the weights that were kept; mean ± standard deviation over the seeds"},
    {"peak_host_bytes",
     "by how much the process grew at most in the turns of the row, and the data set that all rows share; resident memory, sampled"},
    {"peak_device_bytes", "by how much less memory was free on the row's device at most; sampled"},
    {"predicted_bytes",
     "what plans and images were said to take before the first batch, of the memory that the row computes in: of the host for rows on the "
     "processor, of the device for those on a GPU"},
    {"energy.net_joules_per_image",
     "energy of what the method measures (it stands with the figure of energy) in the turns of the row, less what that takes when idle, "
     "divided by the images trained on: the mean power, of a GPU from 0.1 s behind each turn's begin, times the seconds of the turns"},
    {"energy.gross_joules_per_image", "the same without taking off what is taken when idle, divided by the images trained on"},
    {"energy.gross_joules", "the same for one training, or for all that was measured where speed alone was"},
    {"roof.fraction",
     "floating-point operations per second over the most that this machine was measured to do in the row's precision on as many threads; "
     "in "
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
      const std::string cells[] = {row.label,
                                   fmt::format("{} ({})", figure.name, spread.unit.empty() ? figure.unit : spread.unit.c_str()),
                                   spread.median ? digits(*spread.median) : "not measured",
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
