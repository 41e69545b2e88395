// Two contents of the same value, element by element.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "fovea/graph/graph.h"

namespace fovea::study {

// One element, the one that uses most of its tolerance.
struct Worst {
  std::vector<int64_t> at;  // its place along each axis
  double a = 0, b = 0;
  double absolute = 0, relative = 0;  // |a - b|, and that by the larger of |a| and |b|
  int64_t ulps = 0;                   // of f32; 0 for other types
  double of_tolerance = 0;            // |a - b| / tolerance; above 1 the two differ
};

struct ValueDiff {
  std::string value;  // "conv1.conv2d_forward"
  Shape shape;
  int64_t different = 0;  // elements whose bits differ
  Worst worst;            // of those
  bool within() const { return worst.of_tolerance <= 1; }
  std::string text() const;  // "same bits", or the worst element
};

using Bytes = std::span<const std::byte>;
std::vector<float> floats_of(Bytes bytes, DType dtype);  // of f32, bf16 or fp16

// `allowed`: the tolerance by element. Two NaN are the same.
ValueDiff compare(std::string name, const graph::Type& type, Bytes a, Bytes b, std::span<const double> allowed);
// Of whole numbers: any difference is beyond tolerance.
ValueDiff compare_exactly(std::string name, const graph::Type& type, Bytes a, Bytes b);
// Counts exactly, the sum of the losses within relative * (1 + sum); the axis has the members of Metrics in their order.
ValueDiff compare_metrics(std::string name, Bytes a, Bytes b, double relative);

}  // namespace fovea::study
