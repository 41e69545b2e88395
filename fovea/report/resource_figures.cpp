// Memory, utilisation and power over time, and energy against time.
#include <fmt/format.h>

#include <algorithm>

#include "fovea/report/figures.h"
#include "fovea/report/numbers.h"

namespace fovea::report {
namespace {

constexpr size_t most_points = 120;  // of a line; more are put together

using Reading = Known (*)(const Moment&);
enum class Of : uint8_t { all_rows, gpu_rows };  // others show what is left of the turns before

constexpr double mebibyte = 1024 * 1024;
Known in_mebibytes(const Known& bytes) { return bytes ? Known(*bytes / mebibyte) : std::nullopt; }
Known in_percent(const Known& share) { return share ? Known(100 * *share) : std::nullopt; }

struct Gauge {
  const char *id, *title, *y_title, *what, *source;
  Of of;
  Reading reading;  // of the rows on the processor, and of those on a GPU
  Reading gpu = reading;
};
constexpr Gauge gauges[] = {
    {"host-memory", "Host memory over time", "host memory (MiB)",
     "The resident memory of the whole process, with the backend of every row in it (what a row takes itself stands in the table)",
     "rows[].runs[].samples[].host_bytes", Of::all_rows, [](const Moment& moment) { return in_mebibytes(moment.host_bytes); }},
    {"device-memory", "Device memory over time", "device memory (MiB)",
     "The memory of the GPU that is taken, by all rows and all programs, in the turns of rows on the GPU (what a row takes itself stands "
     "in the table)",
     "rows[].runs[].samples[].device_bytes", Of::gpu_rows, [](const Moment& moment) { return in_mebibytes(moment.device_bytes); }},
    {"cpu", "CPU utilisation over time", "CPU utilisation (%)", "The share of the machine's processors that the process kept busy",
     "rows[].runs[].samples[].cpu", Of::all_rows, [](const Moment& moment) { return in_percent(moment.cpu); }},
    {"gpu", "GPU utilisation over time", "GPU utilisation (%)",
     "The share of the time in which the GPU was busy, as NVML has it: of up to a second before, so that a turn begins with what the one "
     "before it did",
     "rows[].runs[].samples[].gpu", Of::gpu_rows, [](const Moment& moment) { return in_percent(moment.gpu); }},
    {"power", "Power over time", "power (W)",
     "The power of the GPU in turns of rows on it, of the processor in those of the others; a GPU's counter moves about ten times a "
     "second, so that the ends of a turn are mixed with what lies beside them, which the energy in the table leaves out",
     "rows[].runs[].samples[].cpu_watts, gpu_watts", Of::all_rows, [](const Moment& moment) { return moment.cpu_watts; },
     [](const Moment& moment) { return moment.gpu_watts; }},
};

// Means of as many neighbours as it takes to have few enough points; times from the first.
std::vector<Point> thinned(const std::vector<Moment>& moments, Reading reading) {
  std::vector<Point> points;
  for (const Moment& moment : moments)
    if (const Known value = reading(moment)) points.push_back({moment.seconds - moments.front().seconds, *value});
  const size_t together = (points.size() + most_points - 1) / most_points;
  if (together < 2) return points;
  std::vector<Point> means;
  for (size_t i = 0; i < points.size(); i += together) {
    const size_t end = std::min(points.size(), i + together);
    Point sum;
    for (size_t j = i; j < end; ++j) sum.x += points[j].x, sum.y += points[j].y;
    means.push_back({sum.x / static_cast<double>(end - i), sum.y / static_cast<double>(end - i)});
  }
  return means;
}

std::string absent_reason(const Comparison& comparison, const Gauge& gauge) {
  const std::string_view id = gauge.id;
  if (id == "power" && !comparison.idle_reason.empty()) return comparison.idle_reason;
  if (id == "device-memory")
    for (const ComparedRow& row : comparison.rows)
      if (row.status == Status::ran && !row.peak_device_reason.empty()) return row.peak_device_reason;
  if (id == "gpu")
    for (const auto& [key, value] : comparison.environment)
      if (key == "gpu_reason") return value;
  return fmt::format("no run has samples of it ({})", gauge.source);
}

using Rows = std::vector<const ComparedRow*>;

std::string labels_of(const Rows& rows) {
  std::string text;
  for (const ComparedRow* row : rows) text += (text.empty() ? "" : "; ") + row->label;
  return text;
}

// Whose power is drawn, and whose is not known.
std::string power_caption(const Comparison& comparison, const Rows& drawn) {
  Rows gpu, cpu, none;
  for (const ComparedRow& row : comparison.rows) {
    if (row.status != Status::ran) continue;
    const bool known = std::find(drawn.begin(), drawn.end(), &row) != drawn.end();
    (!known ? none : is_on_gpu(row) ? gpu : cpu).push_back(&row);
  }
  std::string text;
  if (!gpu.empty()) text += fmt::format(" GPU: {}; a turn begins with up to 0.1 s of what the one before it took.", labels_of(gpu));
  if (!cpu.empty()) text += fmt::format(" Processor: {}.", labels_of(cpu));
  if (!none.empty()) text += fmt::format(" Not measured: {}.", labels_of(none));
  return text;
}

Figure gauge_figure(const Comparison& comparison, const Gauge& gauge) {
  Figure figure{gauge.id, gauge.title, "", gauge.source, "", "", {}, {}};
  LineChart chart{"time since the start of the run (s)", gauge.y_title, Growth::linear, Growth::linear, true, {}, Marks::none, {}};
  figure.data = {{"row", Align::left, {}}, {"time (s)", Align::right, {}}, {gauge.y_title, Align::right, {}}};
  Rows drawn;
  for (const ComparedRow& row : comparison.rows) {
    if (gauge.of == Of::gpu_rows && !is_on_gpu(row)) continue;
    for (const ComparedRun& run : row.runs) {
      const std::vector<Point> points = thinned(run.moments, is_on_gpu(row) ? gauge.gpu : gauge.reading);
      if (points.empty()) continue;
      drawn.push_back(&row);
      chart.lines.push_back({place_of(comparison, row), points, {}, Line::Kind::measured});
      figure.legend.push_back({row.label, place_of(comparison, row), Line::Kind::measured});
      for (const Point& point : points) {
        figure.data[0].cells.push_back(row.label);
        figure.data[1].cells.push_back(digits(point.x));
        figure.data[2].cells.push_back(digits(point.y));
      }
      break;
    }
  }
  if (chart.lines.empty()) {
    figure.data.clear();
    figure.reason = absent_reason(comparison, gauge);
    return figure;
  }
  const bool several = std::any_of(drawn.begin(), drawn.end(), [](const ComparedRow* row) { return row->runs.size() > 1; });
  figure.caption = fmt::format("{}, sampled while {} trained; at most {} points of each are drawn.", gauge.what,
                               several ? "the first run of each row" : "each row", most_points);
  if (figure.id == "power") figure.caption += power_caption(comparison, drawn);
  figure.picture = line_chart(
      chart, figure.id, {figure.title, fmt::format("Lines: {} over time; the numbers are in the table below the picture.", gauge.y_title)});
  return figure;
}

Figure energy_figure(const Comparison& comparison) {
  constexpr double images = 1000;
  Figure figure{"energy", "Energy against time", "", "rows[].energy, rows[].images_per_second", "", "", {}, {}};
  LineChart chart{
      "time for 1,000 images (s)", "net energy for 1,000 images (J)", Growth::linear, Growth::linear, true, {}, Marks::dots_alone, {}};
  figure.data = {{"row", Align::left, {}},
                 {"time for 1,000 images (s)", Align::right, {}},
                 {"net energy (J)", Align::right, {}},
                 {"gross energy (J)", Align::right, {}},
                 {"method", Align::left, {}}};
  double longest = 0;
  for (const ComparedRow& row : comparison.rows) {
    const Energy& energy = row.energy;
    if (figure.reason.empty()) figure.reason = energy.reason;
    if (!energy.net_per_image || !row.images_per_second.median) continue;
    const double time = images / *row.images_per_second.median;
    longest = std::max(longest, time);
    chart.lines.push_back({place_of(comparison, row), {{time, *energy.net_per_image * images}}, {}, Line::Kind::measured});
    figure.legend.push_back({row.label, place_of(comparison, row), Line::Kind::measured});
    const std::string cells[] = {row.label, digits(time), digits(*energy.net_per_image * images),
                                 energy.gross_per_image ? digits(*energy.gross_per_image * images) : "not measured", energy.method};
    for (size_t column = 0; column < figure.data.size(); ++column) figure.data[column].cells.push_back(cells[column]);
  }
  if (chart.lines.empty()) {
    figure.data.clear();
    if (figure.reason.empty()) figure.reason = "no row has its energy and its speed";
    return figure;
  }
  figure.reason.clear();
  figure.marks = chart.marks;
  chart.lines.push_back({0, {{0, 0}}, {}, Line::Kind::ideal});  // so that both axes begin at nothing
  figure.caption =
      "Net energy, of what the method below measures (what that takes when idle is subtracted), and time for 1,000 images of training. "
      "Better is lower and further left.";
  figure.picture = line_chart(
      chart, figure.id, {figure.title, "Points: energy against time, one for each row; the numbers are in the table below the picture."});
  return figure;
}

}  // namespace

std::vector<Figure> resource_figures(const Comparison& comparison) {
  std::vector<Figure> figures;
  for (const Gauge& gauge : gauges) figures.push_back(gauge_figure(comparison, gauge));
  figures.push_back(energy_figure(comparison));
  return figures;
}

}  // namespace fovea::report
