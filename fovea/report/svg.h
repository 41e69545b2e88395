// Scalable Vector Graphics: shapes and texts, and a whole picture that is readable on light and on dark pages.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace fovea::report {

struct Point {
  double x = 0, y = 0;  // in pixels, y downwards
};
struct Box {
  double x = 0, y = 0, width = 0, height = 0;
};

// Colours and weights; the picture says what each is on a light and on a dark page.
enum class Ink : uint8_t { strong, plain, faint, grid, series0, series1, series2, series3, series4, series5 };
Ink series_ink(size_t index);  // one of six, again from the first behind the sixth

enum class Anchor : uint8_t { start, middle, end };
struct TextStyle {
  Ink ink = Ink::plain;
  Anchor anchor = Anchor::start;
  double size = 13;
};

class Svg {
 public:
  void line(Point from, Point to, Ink ink);
  void path(std::span<const Point> points, Ink ink);
  void dot(Point centre, double radius, Ink ink);
  void bar(const Box& box, Ink ink);
  void text(Point baseline, std::string_view text, const TextStyle& style);

  std::string picture(double width, double height, std::string_view title) const;  // on a card; `title` is for screen readers

 private:
  std::string body_;
};

double text_width(std::string_view text, double size);  // roughly: the reader's font decides

}  // namespace fovea::report
