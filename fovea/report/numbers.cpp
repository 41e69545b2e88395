#include "fovea/report/numbers.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "fovea/report/columns.h"

namespace fovea::report {
namespace {

struct Unit {
  double size;
  const char* name;
};

std::string in_unit(double value, std::initializer_list<Unit> units) {  // from the largest to the smallest
  for (const Unit& unit : units)
    if (std::abs(value) >= unit.size) return digits(value / unit.size) + " " + unit.name;
  const Unit& least = *(units.end() - 1);
  return digits(value / least.size) + " " + least.name;
}

}  // namespace

std::string digits(double value) {
  if (!std::isfinite(value)) return fmt::format("{}", value);
  if (value == 0) return "0";
  const double rounded = std::stod(fmt::format("{:.2e}", value));
  const int magnitude = static_cast<int>(std::floor(std::log10(std::abs(rounded)) + 1e-9));
  if (magnitude < -5) return fmt::format("{:.2e}", value);
  return grouped(magnitude >= 3 ? value : rounded, std::max(0, 2 - magnitude));
}

std::string bytes(double value) {
  return in_unit(value, {{1024.0 * 1024 * 1024, "GiB"}, {1024.0 * 1024, "MiB"}, {1024, "KiB"}, {1, "bytes"}});
}

std::string percent(double share) { return fmt::format("{:.2f} %", 100 * share); }

std::string seconds(double value) {
  const auto whole = static_cast<int64_t>(std::llround(value));
  if (whole >= 3600) return fmt::format("{} h {} min", whole / 3600, whole / 60 % 60);
  if (whole >= 120) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return in_unit(value, {{1, "s"}, {1e-3, "ms"}, {1e-6, "µs"}});
}

std::string joules(double value) { return in_unit(value, {{1e6, "MJ"}, {1e3, "kJ"}, {1, "J"}, {1e-3, "mJ"}, {1e-6, "µJ"}}); }

std::string exact(double value) { return fmt::format("{}", value); }

std::string with_interval(const std::optional<double>& value, const std::optional<double>& low, const std::optional<double>& high,
                          NumberText text) {
  if (!value) return "";
  return low && high ? fmt::format("{} ({} to {})", text(*value), text(*low), text(*high)) : text(*value);
}

}  // namespace fovea::report
