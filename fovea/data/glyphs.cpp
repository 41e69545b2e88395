// Stroke tables, and Catmull-Rom curves through their points.
#include "fovea/data/glyphs.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

namespace fovea::data {
namespace {

struct Form {
  int digit, share;          // how many of the digit's writers use it
  std::string_view strokes;  // points `x,y` in hundredths; `!` after a point: a corner; `|`: the pen is lifted
};

constexpr Form forms[] = {
    {0, 4, "36,2 14,14 3,50 13,86 35,98 58,84 67,50 58,14 34,3"},
    {0, 3, "28,2 10,22 3,58 11,90 26,98 42,84 49,48 41,14 27,3"},
    {0, 2, "48,10 26,3 8,22 2,56 13,88 36,98 59,80 65,44 53,14 30,6"},
    {0, 1, "40,4 12,26 4,66 16,94 42,92 64,62 66,28 50,6 36,8 30,16"},
    {1, 5, "10,0 11,50 9,100"},
    {1, 2, "14,0 9,40 10,100"},
    {1, 2, "2,22 20,1! 20,50 19,100"},
    {1, 1, "0,24 20,1! 20,98 | 0,98 42,98"},
    {2, 4, "4,26 14,8 36,2 54,14 54,36 34,66 4,96! 34,93 66,95"},
    {2, 4, "5,24 20,5 44,4 56,22 46,50 26,76 10,92 3,84 16,76 38,90 66,92"},
    {2, 2, "3,14 26,2 54,10 52,34 26,72 2,97! 66,97"},
    {2, 1, "8,30 10,10 34,2 54,18 48,46 24,80 8,97 24,96 50,90 68,96"},
    {3, 4, "5,13 28,2 52,12 50,34 22,47! 50,54 60,76 38,97 4,89"},
    {3, 2, "6,10 34,2 54,16 44,38 25,47 25,45 36,46 58,62 54,88 28,98 3,88"},
    {3, 1, "5,5 56,5! 25,42! 52,52 60,76 38,98 4,90"},
    {3, 2, "10,10 36,3 50,18 36,40 18,46! 44,54 52,78 32,98 2,94"},
    {4, 4, "9,4 4,36 10,54 32,54 60,50 | 54,2 50,50 46,100"},
    {4, 3, "8,8 4,40 14,56 36,54 52,38! 56,4 52,46 48,100"},
    {4, 2, "44,2 22,34 2,64! 34,65 70,63 | 44,2! 46,50 45,100"},
    {4, 2, "12,2 2,56! 32,57 64,54 | 46,20 44,60 42,100"},
    {5, 4, "58,3 16,4! 11,44! 34,38 58,54 58,82 34,98 3,90"},
    {5, 3, "16,6 10,46! 38,40 56,58 50,86 26,98 3,89 | 15,6 38,5 62,1"},
    {5, 2, "60,4 34,5 18,14 14,34 32,46 50,60 50,84 28,98 3,90"},
    {6, 4, "46,1 22,26 6,58 10,88 32,98 54,86 54,64 36,54 9,72"},
    {6, 3, "36,0 14,36 3,72 16,96 42,94 52,74 40,58 22,62 6,80"},
    {6, 2, "54,8 34,6 12,34 4,70 20,96 46,92 56,70 40,54 18,62 6,78"},
    {7, 5, "2,8 28,7 60,5! 42,46 26,100"},
    {7, 3, "2,8 30,7 60,5! 40,48 26,100 | 14,52 36,51 60,48"},
    {7, 2, "3,24 5,8! 32,7 62,4! 44,44 34,100"},
    {7, 2, "2,14 22,4 50,6 58,18 40,52 26,100"},
    {8, 4, "54,14 32,2 10,14 18,38 46,58 56,82 32,98 7,84 16,58 42,38 55,15"},
    {8, 2, "32,2 12,14 14,38 32,48 50,36 52,14 32,2 | 32,48 10,60 5,84 30,98 56,86 54,62 32,48"},
    {8, 2, "58,8 30,4 12,22 38,50 52,78 28,98 8,84 26,54 60,6"},
    {9, 4, "54,16 30,2 7,18 8,42 30,50 50,34 56,10! 54,54 48,100"},
    {9, 3, "54,22 38,3 12,12 5,36 24,50 46,40 57,16 56,58 42,90 14,96"},
    {9, 2, "46,10 24,3 4,24 14,46 38,42 54,8! 46,54 36,100"},
};

struct Knot {
  Point at;
  bool corner;
};

Point between(const std::array<Point, 4>& p, float t) {  // Catmull-Rom from p[1] to p[2]
  const float t2 = t * t, t3 = t2 * t;
  const std::array<float, 4> weight = {-0.5f * t3 + t2 - 0.5f * t, 1.5f * t3 - 2.5f * t2 + 1.0f, -1.5f * t3 + 2.0f * t2 + 0.5f * t,
                                       0.5f * t3 - 0.5f * t2};
  Point sum{0, 0};
  for (size_t i = 0; i < 4; ++i) sum = {sum.x + weight[i] * p[i].x, sum.y + weight[i] * p[i].y};
  return sum;
}

Stroke curve(std::span<const Knot> knots) {
  constexpr int pieces = 5;
  const auto beyond = [](Point end, Point next) { return Point{2 * end.x - next.x, 2 * end.y - next.y}; };
  Stroke stroke = {knots[0].at};
  for (size_t i = 0; i + 1 < knots.size(); ++i) {
    const Point from = knots[i].at, to = knots[i + 1].at;
    const bool starts = i == 0 || knots[i].corner, ends = i + 2 == knots.size() || knots[i + 1].corner;
    const Point before = starts ? beyond(from, to) : knots[i - 1].at, after = ends ? beyond(to, from) : knots[i + 2].at;
    for (int piece = 1; piece <= pieces; ++piece) {
      stroke.push_back(between({before, from, to, after}, static_cast<float>(piece) / pieces));
    }
  }
  return stroke;
}

float hundredths(std::string_view text) {
  int value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return static_cast<float>(value) / 100;
}

Glyph parse(std::string_view text) {
  Glyph glyph;
  std::vector<Knot> knots;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (word == "|") {
      glyph.strokes.push_back(curve(knots));
      knots.clear();
      continue;
    }
    const size_t comma = word.find(',');
    knots.push_back({{hundredths(word.substr(0, comma)), hundredths(word.substr(comma + 1))}, word.ends_with('!')});
  }
  glyph.strokes.push_back(curve(knots));
  return glyph;
}

std::array<std::vector<Glyph>, 10> parse_all() {
  std::array<std::vector<Glyph>, 10> all;
  for (const Form& form : forms) {
    std::vector<Glyph>& ways = all[static_cast<size_t>(form.digit)];
    ways.insert(ways.end(), static_cast<size_t>(form.share), parse(form.strokes));
  }
  return all;
}

}  // namespace

std::span<const Glyph> glyphs(int digit) {
  static const std::array<std::vector<Glyph>, 10> all = parse_all();
  return all[static_cast<size_t>(digit)];
}

}  // namespace fovea::data
