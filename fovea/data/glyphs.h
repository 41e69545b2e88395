// The ways to write each digit, as strokes: what the drawn digits start from.
#pragma once

#include <span>
#include <vector>

namespace fovea::data {

struct Point {
  float x, y;
};

using Stroke = std::vector<Point>;  // a polyline fine enough to pass for the curve

struct Glyph {
  std::vector<Stroke> strokes;  // in a box of about 0.65 x 1, y downwards, joined strokes share a point
};

std::span<const Glyph> glyphs(int digit);  // 0 .. 9; the usual ways come more than once

}  // namespace fovea::data
