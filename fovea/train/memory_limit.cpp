#include "fovea/train/memory_limit.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "fovea/base/error.h"

namespace fovea::train {

size_t memory_limit(const std::string& text) {
  if (text.empty()) return std::numeric_limits<size_t>::max();
  const Error unreadable =
      Error(ErrorId::bad_value, fmt::format("`memory_limit` is \"{}\", but must be a number of GiB, MiB, KiB, GB, MB or kB", text))
          .help("set memory_limit = \"2 GiB\" or \"500 MiB\"");
  double amount = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), amount);
  if (failure != std::errc() || !(amount > 0)) throw unreadable;
  std::string unit(end, text.data() + text.size());
  unit.erase(0, unit.find_first_not_of(' '));
  constexpr std::pair<const char*, double> units[] = {{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
                                                      {"GB", 1e9},      {"MB", 1e6},      {"kB", 1e3}};
  for (const auto& [name, bytes] : units)
    if (unit == name && amount * bytes < 1e18) return static_cast<size_t>(amount * bytes);
  throw unreadable;
}

std::string memory_text(size_t bytes) {
  const double mebibytes = static_cast<double>(bytes) / (1 << 20);
  return mebibytes < 1024 ? fmt::format("{:.2f} MiB", mebibytes) : fmt::format("{:.2f} GiB", mebibytes / 1024);
}

int64_t largest_batch(const BatchRange& range, const std::function<bool(int64_t)>& fits) {
  if (range.most < range.least || !fits(range.least)) return 0;
  int64_t fitting = range.least, too_large = range.most + 1;
  for (int64_t next = 2 * fitting; next < too_large; next *= 2)  // small plans are made fast: they come first
    fits(next) ? fitting = next : too_large = next;
  while (too_large - fitting > 1) {
    const int64_t middle = fitting + (too_large - fitting) / 2;
    fits(middle) ? fitting = middle : too_large = middle;
  }
  return fitting;
}

}  // namespace fovea::train
