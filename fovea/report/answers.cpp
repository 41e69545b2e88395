#include "fovea/report/answers.h"

#include <fmt/format.h>

#include <algorithm>

#include "fovea/report/accuracy.h"
#include "fovea/report/columns.h"
#include "fovea/report/figures.h"
#include "fovea/report/numbers.h"
#include "fovea/report/ranking.h"

namespace fovea::report {
namespace {

std::string ratio(double value) { return grouped(value, value < 100 ? 2 : 0); }
std::string speed(double value) { return value < 100 ? digits(value) : grouped(value, 0); }

bool has_interval(const Spread& spread) { return spread.low && spread.high; }

std::string none_was_measured(const Comparison& comparison) {
  for (const ComparedRow& row : comparison.rows) {
    const std::string& reason = row.images_per_second.reason.empty() ? row.reason : row.images_per_second.reason;
    if (!reason.empty()) return fmt::format("not measured: {}: {}", row.label, reason);
  }
  return "not measured: no row has a speed";
}

// Rows that the fastest is held against: the one that all are compared with, the second, and the first on another device.
struct Opponent {
  const ComparedRow* row;
  std::string name;
};

// " (its steps are openmp's)" of a row that ran no kernel of its own backend.
std::string whose_steps(const ComparedRow& row) {
  const auto is_own = [&](const auto& provider) { return provider.first == row.backend; };
  if (row.providers.empty() || std::any_of(row.providers.begin(), row.providers.end(), is_own)) return "";
  return fmt::format(" (its steps are {}'s)", row.providers.front().first);
}

std::vector<Opponent> opponents_of(const Comparison& comparison, const std::vector<const ComparedRow*>& rows) {
  std::vector<Opponent> opponents;
  const ComparedRow* first = find_row(comparison, rows.front()->speedup.against);
  const bool held = first != nullptr && first != rows.front() && std::find(rows.begin(), rows.end(), first) != rows.end();
  if (held) opponents.push_back({first, first->label});
  if (rows.size() > 1 && !(held && first == rows[1]))
    opponents.push_back({rows[1], "the second, " + rows[1]->label + whose_steps(*rows[1])});
  const auto elsewhere =
      std::find_if(rows.begin(), rows.end(), [&](const ComparedRow* row) { return row->device != rows.front()->device; });
  const auto is_it = [&](const Opponent& opponent) { return opponent.row == *elsewhere; };
  if (elsewhere != rows.end() && std::none_of(opponents.begin(), opponents.end(), is_it))
    opponents.push_back({*elsewhere, "the fastest of another device, " + (*elsewhere)->label + whose_steps(**elsewhere)});
  return opponents;
}

std::string lead_text(const ComparedRow& fastest, const Opponent& opponent) {
  const Lead lead = lead_of(fastest, *opponent.row);
  std::string text = fmt::format("{} times as fast as {}", ratio(lead.ratio), opponent.name);
  if (lead.low && lead.high)
    text += fmt::format(" (95 % interval {} to {}{})", ratio(*lead.low), ratio(*lead.high),
                        lead.is_combined ? ", as wide as the intervals of both rows allow" : "");
  return text;
}

std::string by_how_much(const Comparison& comparison, const std::vector<const ComparedRow*>& rows) {
  std::vector<std::string> parts;
  for (const Opponent& opponent : opponents_of(comparison, rows)) parts.push_back(lead_text(*rows.front(), opponent));
  if (parts.empty()) return "It is the only row with a speed: there is nothing to compare it with.";
  return fmt::format("{} is {}.", rows.front()->label, fmt::join(parts, ", and "));
}

// Whether each row differs from the one that all are compared with.
std::string against_the_first(const Comparison& comparison, const std::vector<const ComparedRow*>& rows) {
  const ComparedRow* first = find_row(comparison, rows.front()->speedup.against);
  if (first == nullptr || rows.size() < 3) return "";
  std::vector<std::string> equal, unknown;
  for (const ComparedRow* row : rows) {
    if (row == first) continue;
    const Lead lead = lead_of(*row, *first);
    if (!lead.low || !lead.high)
      unknown.push_back(row->label);
    else if (!lead.is_significant())
      equal.push_back(row->label);
  }
  if (equal.empty() && unknown.empty()) return fmt::format("All other rows differ significantly from {}. ", first->label);
  std::string text;
  if (!equal.empty()) text += fmt::format("No significant difference from {}: {}. ", first->label, fmt::join(equal, "; "));
  if (!unknown.empty()) text += fmt::format("Not known against {}: {}. ", first->label, fmt::join(unknown, "; "));
  return text;
}

std::string how_sure(const Comparison& comparison, const std::vector<const ComparedRow*>& rows) {
  const ComparedRow& fastest = *rows.front();
  std::string text;
  for (const Opponent& opponent : opponents_of(comparison, rows)) {
    const Lead lead = lead_of(fastest, *opponent.row);
    text += fmt::format("Against {}: ", opponent.name);
    if (!lead.low || !lead.high)
      text += "not known, for there is no interval. ";
    else if (*lead.high < 1)
      text += "side by side it was the slower one, although its median is the higher. ";
    else if (lead.is_significant())
      text += "the 95 % interval of the ratio does not hold 1, so the difference is significant. ";
    else
      text += "no significant difference, for the 95 % interval of the ratio holds 1. ";
  }
  if (text.empty()) return "Not known: there is only one row with a speed.";
  text += against_the_first(comparison, rows);
  if (const auto count = fastest.images_per_second.count) text += fmt::format("{} turns of {} were measured. ", *count, fastest.label);
  text.pop_back();
  return text;
}

std::string memory_of(const ComparedRow& row) {
  std::vector<std::string> parts;
  if (row.peak_host_bytes) parts.push_back(bytes(*row.peak_host_bytes) + " of host memory");
  if (row.peak_device_bytes) parts.push_back(bytes(*row.peak_device_bytes) + " on the device");
  if (row.predicted_bytes)
    parts.push_back(fmt::format("{} of {} memory foretold", bytes(*row.predicted_bytes), is_on_gpu(row) ? "device" : "host"));
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string memory_text(const Comparison& comparison, const ComparedRow& fastest) {
  const std::string own = memory_of(fastest);
  if (own.empty()) return "Not measured.";
  const ComparedRow* least = nullptr;
  for (const ComparedRow& row : comparison.rows)
    if (row.status == Status::ran && row.peak_host_bytes && (least == nullptr || *row.peak_host_bytes < *least->peak_host_bytes))
      least = &row;
  std::string text = fmt::format("{}, at its peak: {}.", fastest.label, own);
  if (least != nullptr && least != &fastest)
    text += fmt::format(" The least host memory, {}, is that of {}.", bytes(*least->peak_host_bytes), least->label);
  return text;
}

Known energy_per_image(const ComparedRow& row) { return row.energy.net_per_image ? row.energy.net_per_image : row.energy.gross_per_image; }

// What the energy of a row is of: that of a GPU without that of the processor is no energy of the machine.
std::string parts_of(const ComparedRow& row) {
  const Energy& energy = row.energy;
  if (energy.gpu && !energy.cpu) return "the GPU alone: that of the processor was not measured";
  const std::string processor = energy.dram ? "processor and memory" : "the processor";
  if (!energy.cpu) return "";
  if (energy.gpu) return energy.dram ? "processor, memory and GPU" : "processor and GPU";
  return is_on_gpu(row) ? processor + " alone: that of the GPU was not measured" : processor;
}

// Rows without energy, and why, without what helps: that stands below the table.
std::string without_energy(const Comparison& comparison) {
  size_t count = 0;
  std::vector<std::string> reasons;
  for (const ComparedRow& row : comparison.rows) {
    if (row.status != Status::ran || energy_per_image(row)) continue;
    ++count;
    const std::string reason = row.energy.reason.substr(0, row.energy.reason.find(" ("));
    if (!reason.empty() && std::find(reasons.begin(), reasons.end(), reason) == reasons.end()) reasons.push_back(reason);
  }
  if (count == 0) return "";
  return fmt::format(" {} row{} none: {}.", count, count == 1 ? " has" : "s have",
                     reasons.empty() ? "no reason is recorded" : fmt::format("{}", fmt::join(reasons, "; ")));
}

std::string energy_text(const Comparison& comparison) {
  const ComparedRow* least = nullptr;
  std::string reason;
  size_t count = 0;
  for (const ComparedRow& row : comparison.rows) {
    if (reason.empty()) reason = row.energy.reason;
    if (!energy_per_image(row)) continue;
    ++count;
    if (least == nullptr || *energy_per_image(row) < *energy_per_image(*least)) least = &row;
  }
  if (least == nullptr) return "Not measured: " + (reason.empty() ? "no row has its energy" : reason) + ".";
  const std::string parts = parts_of(*least);
  std::string text =
      fmt::format("{}: {}, {} per image {}", count == 1 ? "The only row measured" : fmt::format("The least of {} rows measured", count),
                  least->label, joules(*energy_per_image(*least)), least->energy.net_per_image ? "net of idle power" : "gross");
  if (least->energy.net_per_image && least->energy.gross_per_image)
    text += fmt::format(", {} gross", joules(*least->energy.gross_per_image));
  if (!parts.empty()) text += fmt::format(". It is the energy of {}", parts);
  if (const ComparedRow* fastest = fastest_row(comparison); fastest != nullptr && fastest != least && energy_per_image(*fastest))
    text += fmt::format(". {}: {}", fastest->label, joules(*energy_per_image(*fastest)));
  text += least->energy.method.empty() ? "." : fmt::format(". By {}.", least->energy.method);
  return text + without_energy(comparison);
}

// What the command alone does not say: by which program, where, and with which settings besides.
std::string repeat_remark(const Comparison& comparison) {
  std::vector<std::string> parts;
  if (!comparison.version.empty()) parts.push_back("fovea " + comparison.version);
  if (!comparison.commit.empty()) parts.push_back("commit " + comparison.commit);
  for (const char* key : {"cpu", "gpu.name"})
    for (const auto& [name, value] : comparison.environment)
      if (name == key && value != unknown_entry) parts.push_back(value);
  std::string text = parts.empty() ? "" : fmt::format("Measured with {}.", fmt::join(parts, ", "));
  constexpr size_t recipe = 2;  // fovea compare RECIPE
  if (comparison.command.size() > recipe && !comparison.command[recipe].starts_with('-'))
    text += fmt::format(" What the flags do not set is set by the recipe {}.", comparison.command[recipe]);
  return text;
}

}  // namespace

std::string command_line(const std::vector<std::string>& command) {
  constexpr std::string_view harmless = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+=./:,@%";
  std::string line;
  for (const std::string& word : command) {
    if (!line.empty()) line += ' ';
    if (!word.empty() && word.find_first_not_of(harmless) == std::string::npos) {
      line += word;
      continue;
    }
    line += '\'';
    for (const char letter : word) line += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
    line += '\'';
  }
  return line;
}

std::string headline(const Comparison& comparison) {
  const std::vector<const ComparedRow*> rows = by_speed(comparison);
  if (rows.empty()) return "No row has a speed: " + none_was_measured(comparison) + ".";
  const ComparedRow& fastest = *rows.front();
  if (rows.size() == 1) return fmt::format("{} trains {} images/s.", fastest.label, speed(*fastest.images_per_second.median));
  std::string text = fmt::format("{} is the fastest: {} images/s", fastest.label, speed(*fastest.images_per_second.median));
  const Lead lead = lead_of(fastest, *rows[1]);
  if (lead.low && lead.high && *lead.low <= 1)
    text = fmt::format("{} and {} are the fastest, and not told apart: {} and {} images/s", fastest.label, rows[1]->label,
                       speed(*fastest.images_per_second.median), speed(*rows[1]->images_per_second.median));
  text += ", " + lead_text(fastest, opponents_of(comparison, rows).front());
  const std::string accuracy = judge_accuracy(comparison).brief;
  return text + (accuracy.empty() ? "." : ", " + accuracy + ".");
}

std::vector<Answer> answers(const Comparison& comparison) {
  const std::vector<const ComparedRow*> rows = by_speed(comparison);
  std::vector<Answer> all;
  const std::string none = "N" + none_was_measured(comparison).substr(1) + ".";
  const auto fastest_text = [&] {
    const Spread& spread = rows.front()->images_per_second;
    std::string text = fmt::format("{}: {} images/s", rows.front()->label, speed(*spread.median));
    if (has_interval(spread)) text += fmt::format(" (95 % interval {} to {})", speed(*spread.low), speed(*spread.high));
    return text + ".";
  };
  all.push_back({"Which is the fastest?", rows.empty() ? none : fastest_text(), "rows[].images_per_second"});
  all.push_back(
      {"By how much?", rows.empty() ? none : by_how_much(comparison, rows), "rows[].speedup, against_fastest, images_per_second"});
  all.push_back(
      {"How sure is that?", rows.empty() ? none : how_sure(comparison, rows), "rows[].speedup, against_fastest, images_per_second"});
  const AccuracyJudgement accuracy = judge_accuracy(comparison);
  all.push_back({"Is the accuracy equal?", accuracy.text, accuracy.source});
  all.push_back({"How much memory?", rows.empty() ? none : memory_text(comparison, *rows.front()),
                 "rows[].peak_host_bytes, peak_device_bytes, predicted_bytes"});
  all.push_back({"How much energy?", energy_text(comparison), "rows[].energy"});
  all.push_back({"How is it repeated?", comparison.command.empty() ? "The command was not recorded." : command_line(comparison.command),
                 "command", repeat_remark(comparison)});
  return all;
}

}  // namespace fovea::report
