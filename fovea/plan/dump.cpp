#include "fovea/plan/dump.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace fovea::plan {
namespace {

constexpr size_t columns = 9;
using Row = std::array<std::string, columns>;
constexpr bool is_number(size_t column) { return column == 0 || column == 6 || column == 7; }

std::string step_name(const Step& step) { return step.micro_batch > 0 ? fmt::format("{}@{}", step.name, step.micro_batch) : step.name; }

// "cudnn 112.0 us, cuda 131.0 us"; the name of a claim stands in a column of its own.
std::string measured_text(const Step& step) {
  if (!step.measured) return "";
  const auto who = [&](const std::string& label) {
    const bool is_this = label.ends_with(" " + step.what);
    return is_this ? label.substr(0, label.size() - step.what.size() - 1) : label;
  };
  const Tuning::Choice& choice = *step.measured;
  const std::string text = fmt::format("{} {:.1f} us", who(choice.taken), choice.microseconds);
  return choice.rejected.empty() ? text : fmt::format("{}, {} {:.1f} us", text, who(choice.rejected), choice.rejected_microseconds);
}

Row row_of(const Plan& plan, size_t i) {
  const Step& step = plan.steps()[i];
  return {fmt::format("{}", i),
          step_name(step),
          step.what,
          std::string(step.kernel->provider()),
          step.kernel->algorithm(),
          plan.graph().value(step.out[0]).shape.text(),
          fmt::format("{}", plan.bytes_of(step)),
          fmt::format("{}", 2 * step.macs),
          measured_text(step)};
}

std::string aligned_text(const std::vector<Row>& rows) {
  std::array<size_t, columns> widths{};
  for (const Row& row : rows)
    for (size_t i = 0; i < columns; ++i) widths[i] = std::max(widths[i], row[i].size());
  std::string text;
  for (const Row& row : rows) {
    for (size_t i = 0; i < columns; ++i)
      text += is_number(i) ? fmt::format("{:>{}}  ", row[i], widths[i]) : fmt::format("{:<{}}  ", row[i], widths[i]);
    text.erase(text.find_last_not_of(' ') + 1);
    text += '\n';
  }
  return text;
}

}  // namespace

std::string dump(const Plan& plan) {
  const bool is_measured =
      std::any_of(plan.steps().begin(), plan.steps().end(), [](const Step& step) { return step.measured.has_value(); });
  std::vector<Row> rows = {
      {"step", "layer", "operator", "backend", "algorithm", "output", "bytes", "FLOPs", is_measured ? "measured" : ""}};
  for (size_t i = 0; i < plan.steps().size(); ++i) rows.push_back(row_of(plan, i));
  std::string text = aligned_text(rows);
  text += fmt::format("\n{} steps, {:.3f} GFLOP\n", plan.steps().size(), 2e-9 * static_cast<double>(plan.macs()));
  for (size_t i = 0; i < arena_count; ++i)
    text += fmt::format("{:<12} {:>14} bytes\n", name_of(static_cast<Arena>(i)), plan.arena_bytes()[i]);
  return text + fmt::format("{:<12} {:>14} bytes\n", "total", total(plan.arena_bytes()));
}

std::string outline(const Plan& plan) {
  std::string text, layer;
  for (const Step& step : plan.steps()) {
    const std::string name = step_name(step);
    text += name == layer ? ", " : fmt::format("{}{}: ", text.empty() ? "" : "\n", name);
    text += step.what;
    if (step.kernel->provider() != step.backend) text += fmt::format(" ({})", step.kernel->provider());
    layer = name;
  }
  return text + '\n';
}

}  // namespace fovea::plan
