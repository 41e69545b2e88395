#include "fovea/plan/dump.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace fovea::plan {
namespace {

constexpr size_t columns = 8;
using Row = std::array<std::string, columns>;
constexpr size_t first_number = 6;  // columns from here on, and the first, are numbers

std::string step_name(const Step& step) { return step.micro_batch > 0 ? fmt::format("{}@{}", step.name, step.micro_batch) : step.name; }

Row row_of(const Plan& plan, size_t i) {
  const Step& step = plan.steps()[i];
  return {fmt::format("{}", i),
          step_name(step),
          step.what,
          std::string(step.kernel->provider()),
          step.kernel->algorithm(),
          plan.graph().value(step.out[0]).shape.text(),
          fmt::format("{}", plan.bytes_of(step)),
          fmt::format("{}", 2 * step.macs)};
}

std::string aligned_text(const std::vector<Row>& rows) {
  std::array<size_t, columns> widths{};
  for (const Row& row : rows)
    for (size_t i = 0; i < columns; ++i) widths[i] = std::max(widths[i], row[i].size());
  std::string text;
  for (const Row& row : rows) {
    for (size_t i = 0; i < columns; ++i)
      text += i == 0 || i >= first_number ? fmt::format("{:>{}}  ", row[i], widths[i]) : fmt::format("{:<{}}  ", row[i], widths[i]);
    text.erase(text.find_last_not_of(' ') + 1);
    text += '\n';
  }
  return text;
}

}  // namespace

std::string dump(const Plan& plan) {
  std::vector<Row> rows = {{"step", "layer", "operator", "backend", "algorithm", "output", "bytes", "FLOPs"}};
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
