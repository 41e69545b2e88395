#include "fovea/report/comparison_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "fovea/report/numbers.h"
#include "fovea/report/remarks.h"

namespace fovea::report {
namespace {

constexpr std::string_view no_difference = "no significant difference";

std::string number_or_nothing(const std::optional<int64_t>& value) {
  return value ? grouped(static_cast<double>(*value), 0) : std::string();
}

std::string whole(double value) { return value < 100 ? digits(value) : grouped(value, 0); }
std::string ratio(double value) { return grouped(value, value < 100 ? 2 : 0); }

std::string interval(const Known& low, const Known& high, NumberText text) {
  return low && high ? fmt::format("{} to {}", text(*low), text(*high)) : "";
}

Cell spread(const Spread& spread, NumberText text) {
  if (!spread.median) return {"", spread.reason};
  return {text(*spread.median), "", interval(spread.low, spread.high, text)};
}

Cell score(const Score& score) {
  if (!score.mean) return {"", score.reason};
  if (!score.deviation || score.count.value_or(1) < 2) return {percent(*score.mean), ""};
  return {fmt::format("{:.2f} ± {:.2f} %", 100 * *score.mean, 100 * *score.deviation), ""};
}

Cell known(const Known& value, NumberText text, std::string reason) { return {value ? text(*value) : "", std::move(reason)}; }

Cell speedup(const ComparedRow& row) {
  const Speedup& speedup = row.speedup;
  if (!speedup.ratio) return {"", speedup.reason};
  if (speedup.against == row.id) return {"1", ""};
  return {ratio(*speedup.ratio) + (speedup.verdict == no_difference ? " n.s." : ""), "", interval(speedup.low, speedup.high, ratio)};
}

Cell roof(const Roof& roof) {
  if (!roof.fraction) return {"", roof.reason};
  return {fmt::format("{:.1f} %{}", 100 * *roof.fraction, roof.bound_by.empty() ? "" : fmt::format(" ({})", roof.bound_by)), ""};
}

struct Definition {
  const char *title, *source;
  Align align;
  Cell (*cell)(const ComparedRow&);
  Weight weight = Weight::main;
};

constexpr Definition settings[] = {
    {"threads", "threads", Align::right,
     [](const ComparedRow& row) {
       return Cell{number_or_nothing(row.threads), ""};
     }},
    {"precision", "precision", Align::left,
     [](const ComparedRow& row) {
       return Cell{row.precision, ""};
     }},
    {"batch", "batch", Align::right,
     [](const ComparedRow& row) {
       return Cell{number_or_nothing(row.batch), ""};
     }},
};
constexpr Definition device = {"device", "device", Align::left,
                               [](const ComparedRow& row) {
                                 return Cell{row.device, ""};
                               },
                               Weight::detail};

constexpr Definition figures[] = {
    {"speed-up", "speedup", Align::right, speedup},
    {"images/s", "images_per_second", Align::right, [](const ComparedRow& row) { return spread(row.images_per_second, whole); }},
    {"ms/step", "ms_per_step", Align::right, [](const ComparedRow& row) { return spread(row.ms_per_step, digits); }},
    {"s/epoch", "s_per_epoch", Align::right, [](const ComparedRow& row) { return spread(row.s_per_epoch, digits); }, Weight::detail},
    {"time to target", "time_to_target_s", Align::right, [](const ComparedRow& row) { return spread(row.time_to_target, seconds); }},
    {"training accuracy", "train_accuracy", Align::right, [](const ComparedRow& row) { return score(row.train_accuracy); }, Weight::detail},
    {"validation accuracy", "valid_accuracy", Align::right, [](const ComparedRow& row) { return score(row.valid_accuracy); },
     Weight::detail},
    {"test accuracy", "test_accuracy", Align::right, [](const ComparedRow& row) { return score(row.test_accuracy); }},
    {"peak host", "peak_host_bytes", Align::right,
     [](const ComparedRow& row) { return known(row.peak_host_bytes, bytes, row.peak_host_reason); }},
    {"peak device", "peak_device_bytes", Align::right,
     [](const ComparedRow& row) { return known(row.peak_device_bytes, bytes, row.peak_device_reason); }},
    {"foretold memory", "predicted_bytes", Align::right,
     [](const ComparedRow& row) { return known(row.predicted_bytes, bytes, row.predicted_reason); }, Weight::detail},
    {"net energy/image", "energy.net_joules_per_image", Align::right,
     [](const ComparedRow& row) { return known(row.energy.net_per_image, joules, row.energy.reason); }},
    {"gross energy/image", "energy.gross_joules_per_image", Align::right,
     [](const ComparedRow& row) { return known(row.energy.gross_per_image, joules, row.energy.reason); }, Weight::detail},
    {"gross energy", "energy.gross_joules", Align::right,
     [](const ComparedRow& row) { return known(row.energy.gross, joules, row.energy.reason); }, Weight::detail},
    {"of the roof", "roof.fraction", Align::right, [](const ComparedRow& row) { return roof(row.roof); }},
};

FigureColumn column(const Definition& definition, const std::vector<ComparedRow>& rows) {
  FigureColumn column{definition.title, definition.source, definition.align, definition.weight, {}};
  for (const ComparedRow& row : rows) {
    column.cells.push_back(definition.cell(row));
    if (row.status != Status::ran && column.cells.back().text.empty()) column.cells.back().reason = row.reason;
  }
  return column;
}

bool agree(const FigureColumn& column, const std::vector<ComparedRow>& rows) {  // of the rows that are not absent
  const std::string* first = nullptr;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].status == Status::absent) continue;
    if (first != nullptr && *first != column.cells[i].text) return false;
    first = &column.cells[i].text;
  }
  return true;
}

std::string shared_text(const FigureColumn& column, const std::vector<ComparedRow>& rows) {
  std::string text;
  for (size_t i = 0; i < rows.size() && text.empty(); ++i)
    if (rows[i].status != Status::absent) text = column.cells[i].text;
  if (text.empty() || column.align == Align::left) return text;
  return column.title == "threads" ? fmt::format("{} thread{}", text, text == "1" ? "" : "s") : fmt::format("{} {}", column.title, text);
}

}  // namespace

bool FigureColumn::is_known() const {
  return std::any_of(cells.begin(), cells.end(), [](const Cell& cell) { return !cell.text.empty(); });
}

std::string FigureColumn::reason(const Comparison& comparison) const {
  const bool any_ran =
      std::any_of(comparison.rows.begin(), comparison.rows.end(), [](const ComparedRow& row) { return row.status == Status::ran; });
  for (size_t i = 0; i < cells.size(); ++i)
    if ((!any_ran || comparison.rows[i].status == Status::ran) && cells[i].text.empty() && !cells[i].reason.empty()) return cells[i].reason;
  return "";
}

FigureTable figure_table(const Comparison& comparison) {
  FigureTable table;
  if (comparison.epochs) table.shared = fmt::format("{} epoch{}", *comparison.epochs, *comparison.epochs == 1 ? "" : "s");
  if (comparison.steps) table.shared = fmt::format("{} step{}", *comparison.steps, *comparison.steps == 1 ? "" : "s");
  table.columns.push_back({"backend", "backend", Align::left, Weight::main, {}});
  for (const ComparedRow& row : comparison.rows) table.columns.back().cells.push_back({row.backend, ""});
  for (const Definition& definition : settings) {
    FigureColumn setting = column(definition, comparison.rows);
    if (!agree(setting, comparison.rows)) {
      table.columns.push_back(std::move(setting));
    } else if (const std::string text = shared_text(setting, comparison.rows); !text.empty()) {
      table.shared += (table.shared.empty() ? "" : ", ") + text;
    }
  }
  for (const Definition& definition : figures) {
    FigureColumn figure = column(definition, comparison.rows);
    (figure.is_known() ? table.columns : table.unknown).push_back(std::move(figure));
  }
  FigureColumn devices = column(device, comparison.rows);
  if (!agree(devices, comparison.rows))
    table.columns.push_back(std::move(devices));
  else if (const std::string text = shared_text(devices, comparison.rows); !text.empty())
    table.shared += (table.shared.empty() ? "" : ", ") + text;
  return table;
}

std::string comparison_table(const Comparison& comparison, Style style) {
  const FigureTable table = figure_table(comparison);
  const bool is_markdown = style == Style::markdown;
  std::vector<Column> columns;
  bool has_intervals = false, has_equals = false;
  for (const FigureColumn& figure : table.columns) {
    if (!is_markdown && figure.weight == Weight::detail) continue;
    const bool with_intervals = is_markdown || figure.source == "speedup";
    Column column{std::string(figure.title), figure.align, {}};
    for (const Cell& cell : figure.cells) {
      const bool shown = with_intervals && !cell.interval.empty();
      column.cells.push_back(cell.text.empty() ? "–" : shown ? fmt::format("{} ({})", cell.text, cell.interval) : cell.text);
      has_intervals = has_intervals || shown;
      has_equals = has_equals || cell.text.ends_with("n.s.");
    }
    columns.push_back(std::move(column));
  }
  std::vector<std::string> lines = remarks(comparison, table);
  if (has_equals) lines.insert(lines.begin(), fmt::format("n.s.: {}", no_difference));
  if (has_intervals) lines.insert(lines.begin(), "in parentheses: the 95 % interval");
  std::string text = comparison.title + (table.shared.empty() ? "" : ": " + table.shared) + "\n\n" + columns_text(columns, style);
  for (const std::string& line : lines) text += fmt::format("{}{}{}\n", &line == lines.data() ? "\n" : "", is_markdown ? "- " : "", line);
  return text;
}

}  // namespace fovea::report
