// Loss and accuracy, against epochs and against time: the mean of the runs of each row.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "fovea/report/figures.h"
#include "fovea/report/numbers.h"

namespace fovea::report {
namespace {

constexpr size_t most_lines_with_two_kinds = 4;  // more rows than these show one kind of images alone

using Figures = Known (*)(const EpochFigures&);

struct Subject {
  const char *id, *title, *y_title;
  Figures train, valid;
  double factor;
};
constexpr Subject subjects[] = {
    {"loss", "Loss", "loss (nats per image)", [](const EpochFigures& epoch) { return epoch.train_loss; },
     [](const EpochFigures& epoch) { return epoch.valid_loss; }, 1},
    {"accuracy", "Accuracy", "accuracy (%)", [](const EpochFigures& epoch) { return epoch.train_accuracy; },
     [](const EpochFigures& epoch) { return epoch.valid_accuracy; }, 100},
};

struct Past {  // of one row: means over its runs after each epoch
  const ComparedRow* row = nullptr;
  std::vector<double> epoch, seconds, mean, low, high;
};

Past past_of(const ComparedRow& row, Figures figure, double factor) {
  size_t epochs = 0;
  for (const ComparedRun& run : row.runs) epochs = std::max(epochs, run.epochs.size());
  Past past{&row, {}, {}, {}, {}, {}};
  std::vector<double> clocks(row.runs.size(), 0);
  for (size_t i = 0; i < epochs; ++i) {
    double sum = 0, clock = 0, low = INFINITY, high = -INFINITY, count = 0;
    for (size_t r = 0; r < row.runs.size(); ++r) {
      if (i >= row.runs[r].epochs.size()) continue;
      const EpochFigures& epoch = row.runs[r].epochs[i];
      clocks[r] = epoch.clock.value_or(clocks[r] + epoch.seconds.value_or(NAN));
      const Known value = figure(epoch);
      if (!value) continue;
      sum += *value * factor, clock += clocks[r], ++count;
      low = std::min(low, *value * factor), high = std::max(high, *value * factor);
    }
    if (count == 0) continue;
    past.epoch.push_back(static_cast<double>(i + 1));
    past.seconds.push_back(clock / count);
    past.mean.push_back(sum / count);
    past.low.push_back(low);
    past.high.push_back(high);
  }
  return past;
}

std::vector<Past> pasts_of(const Comparison& comparison, Figures figure, double factor) {
  std::vector<Past> pasts;
  for (const ComparedRow& row : comparison.rows) {
    Past past = past_of(row, figure, factor);
    if (!past.mean.empty()) pasts.push_back(std::move(past));
  }
  return pasts;
}

enum class Against : uint8_t { epochs, time };

Line line_of(const Comparison& comparison, const Past& past, Against against, Line::Kind kind) {
  Line line{place_of(comparison, *past.row), {}, {}, kind};
  const std::vector<double>& x = against == Against::epochs ? past.epoch : past.seconds;
  for (size_t i = 0; i < x.size(); ++i) line.points.push_back({x[i], past.mean[i]});
  if (kind != Line::Kind::measured || against == Against::time || past.row->runs.size() < 2) return line;
  for (size_t i = 0; i < x.size(); ++i) line.band.push_back({x[i], past.low[i]});
  for (size_t i = x.size(); i-- > 0;) line.band.push_back({x[i], past.high[i]});
  return line;
}

void add_data(Figure& figure, const std::vector<Past>& pasts, const std::string& kind) {
  for (const Past& past : pasts)
    for (size_t i = 0; i < past.mean.size(); ++i) {
      const std::string cells[] = {past.row->label,
                                   kind,
                                   grouped(past.epoch[i], 0),
                                   std::isfinite(past.seconds[i]) ? digits(past.seconds[i]) : "not measured",
                                   fmt::format("{:.4f}", past.mean[i]),
                                   fmt::format("{:.4f}", past.low[i]),
                                   fmt::format("{:.4f}", past.high[i])};
      for (size_t column = 0; column < figure.data.size(); ++column) figure.data[column].cells.push_back(cells[column]);
    }
}

std::vector<double> epoch_marks(const std::vector<Past>& pasts) {
  double last = 1;
  for (const Past& past : pasts) last = std::max(last, past.epoch.back());
  std::vector<double> marks = {1};
  const double step = last > 1 ? std::max(1.0, nice_step(last - 1, 7)) : 1;
  for (double mark = step > 1 ? step : 2; mark <= last; mark += step) marks.push_back(mark);
  if (marks.back() < last) marks.push_back(last);
  return marks;
}

bool timed(const Past& past) {
  return std::all_of(past.seconds.begin(), past.seconds.end(), [](double value) { return std::isfinite(value); });
}

Figure learning_figure(const Comparison& comparison, const Subject& subject, Against against) {
  const bool by_time = against == Against::time;
  Figure figure{fmt::format("{}-{}", subject.id, by_time ? "time" : "epoch"),
                fmt::format("{} against {}", subject.title, by_time ? "time" : "epochs"),
                "",
                "rows[].runs[].epochs",
                "",
                "",
                {},
                {}};
  std::vector<Past> valid = pasts_of(comparison, subject.valid, subject.factor),
                    train = pasts_of(comparison, subject.train, subject.factor);
  if (by_time)
    std::erase_if(valid, [](const Past& past) { return !timed(past); }),
        std::erase_if(train, [](const Past& past) { return !timed(past); });
  const std::vector<Past>& main = valid.empty() ? train : valid;
  if (main.empty()) {
    figure.reason = by_time ? "no run recorded its epochs with their times" : "no run recorded its epochs; `--epochs N` trains for so many";
    return figure;
  }
  const bool both = !valid.empty() && !train.empty() && main.size() <= most_lines_with_two_kinds;
  LineChart chart{by_time ? "training time (s)" : "epoch", subject.y_title, Growth::linear, Growth::linear, false, {}, Marks::none, {}};
  if (!by_time) chart.x_marks = epoch_marks(main);
  size_t longest = 0;
  for (const Past& past : main) {
    chart.lines.push_back(line_of(comparison, past, against, Line::Kind::measured));
    figure.legend.push_back({past.row->label, place_of(comparison, *past.row), Line::Kind::measured});
    longest = std::max(longest, past.mean.size());
  }
  if (longest <= 12) chart.marks = Marks::dots;
  if (both)
    for (const Past& past : train) chart.lines.push_back(line_of(comparison, past, against, Line::Kind::beside));
  figure.data = {{"row", Align::left, {}},
                 {"images", Align::left, {}},
                 {"epoch", Align::right, {}},
                 {"training time (s)", Align::right, {}},
                 {subject.y_title, Align::right, {}},
                 {"least", Align::right, {}},
                 {"most", Align::right, {}}};
  add_data(figure, valid, "validation");
  add_data(figure, train, "training");
  const bool several = std::any_of(main.begin(), main.end(), [](const Past& past) { return past.row->runs.size() > 1; });
  figure.caption =
      fmt::format("On {} images{}: {}.", valid.empty() ? "training" : "validation", both ? " (thin lines: on training images)" : "",
                  !several  ? "one training of each row"
                  : by_time ? "the mean of the runs of each row"
                            : "the mean of the runs of each row, with the band in which single runs lie");
  figure.picture = line_chart(
      chart, figure.id,
      {figure.title, fmt::format("Lines: {} against {}; the numbers are in the table below the picture.", subject.y_title, chart.x_title)});
  return figure;
}

}  // namespace

std::vector<Figure> learning_figures(const Comparison& comparison) {
  std::vector<Figure> figures;
  for (const Subject& subject : subjects)
    for (const Against against : {Against::epochs, Against::time}) figures.push_back(learning_figure(comparison, subject, against));
  return figures;
}

}  // namespace fovea::report
