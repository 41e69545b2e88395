#include "fovea/train/save_every.h"

#include <fmt/format.h>

#include <charconv>

#include "fovea/base/error.h"

namespace fovea::train {

SaveEvery save_every(const std::string& text) {
  using Unit = SaveEvery::Unit;
  if (text == "never") return {};
  const Error unreadable =
      Error(ErrorId::bad_value,
            fmt::format("`save_every` is \"{}\", but must be a number of steps, epochs, minutes or seconds, or \"never\"", text))
          .help("set save_every = \"500 steps\", \"1 epoch\", \"10 min\" or \"30 s\"");
  double amount = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), amount);
  if (failure != std::errc() || !(amount > 0 && amount < 1e12)) throw unreadable;
  std::string unit(end, text.data() + text.size());
  unit.erase(0, unit.find_first_not_of(' '));
  if (unit == "step" || unit == "steps") return {Unit::steps, amount};
  if (unit == "epoch" || unit == "epochs") return {Unit::epochs, amount};
  if (unit == "min" || unit == "minute" || unit == "minutes") return {Unit::seconds, 60 * amount};
  if (unit == "s" || unit == "second" || unit == "seconds") return {Unit::seconds, amount};
  throw unreadable;
}

}  // namespace fovea::train
