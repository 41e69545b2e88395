// Pictures of results: accuracy after each epoch as curves, training speeds as bars, or both.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::report {

struct Curve {
  std::string label;
  std::string images;            // that the accuracy is of: "validation"
  std::vector<double> accuracy;  // in [0, 1], one per epoch, at least one
};
struct Bar {
  std::string label;
  double images_per_second = 0;
};
struct BarGroup {  // of bars that may be compared; drawn to a scale of its own
  std::string title;
  std::vector<Bar> bars;
};

// A whole SVG file. One of the two may be empty; `origin` is small print at the foot, or empty.
std::string plot(std::span<const Curve> curves, std::span<const BarGroup> groups, std::string_view origin);

}  // namespace fovea::report
