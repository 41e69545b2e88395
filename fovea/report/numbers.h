// Numbers as people read them, with as many digits as mean something.
#pragma once

#include <optional>
#include <string>

namespace fovea::report {

std::string digits(double value);   // three that count: "1,230", "12.3", "0.0123"
std::string bytes(double value);    // "1.23 GiB"
std::string percent(double share);  // "98.71 %"
std::string seconds(double value);  // "12.3 ms", "1.23 s", "2 min 5 s", "1 h 2 min"
std::string joules(double value);   // "12.3 mJ", "1.23 J", "12.3 kJ"
std::string exact(double value);    // as many digits as it takes to read the same number again

// `text` of a value, and of the interval that it lies in.
using NumberText = std::string (*)(double);
std::string with_interval(const std::optional<double>& value, const std::optional<double>& low, const std::optional<double>& high,
                          NumberText text);  // "1.93 (1.88 to 1.97)"; "" without a value

}  // namespace fovea::report
