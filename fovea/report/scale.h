// Axes: from values to places in a picture, with round numbers at their marks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fovea::report {

// The smallest of 1, 2, 5 times a power of ten that parts `length` into at most `parts`.
double nice_step(double length, int parts);

struct Scale {
  double low = 0, high = 1, step = 1;  // of the values
  double from = 0, to = 1;             // in pixels
  double at(double value) const { return from + (value - low) / (high - low) * (to - from); }
};

enum class Growth : uint8_t { linear, doubling };  // doubling: each mark stands for twice the one before

// A scale that holds [low, high], and its marks.
class Axis {
 public:
  Axis(Growth growth, double low, double high, int parts);
  static Axis between(Growth growth, double low, double high);  // that ends at these, wherever round numbers are
  void place(double from, double to) { scale_.from = from, scale_.to = to; }
  double at(double value) const;
  double low() const;
  double high() const;
  std::vector<double> marks() const;
  std::string text(double mark) const;  // all marks of an axis with as many decimals

 private:
  Growth growth_;
  Scale scale_;  // where it doubles: of the logarithms
};

}  // namespace fovea::report
