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
enum class Ink : uint8_t {
  strong,
  plain,
  faint,
  grid,
  series0,
  series1,
  series2,
  series3,
  series4,
  series5,
  series6,
  series7,
  series8,
  series9
};
Ink series_ink(size_t index);  // one of ten, again from the first behind the tenth

// Of a line that is one of many: told apart by colour and by dashes, each pair of them another one for 40 lines.
struct Stroke {
  Ink ink = Ink::plain;
  size_t dashes = 0;  // one of four patterns for series; 4: dots for what nothing is on
  double width = 2.2, opacity = 1;
};
Stroke series_stroke(size_t index);
Stroke ideal_stroke();
enum class Symbol : uint8_t { circle, square, triangle, diamond };
Symbol series_symbol(size_t index);  // of a point that is one of many; with its colour another one for 40 points

enum class Anchor : uint8_t { start, middle, end };
struct TextStyle {
  Ink ink = Ink::plain;
  Anchor anchor = Anchor::start;
  double size = 13;
};

struct Words {  // for screen readers
  std::string title, description;
};

class Svg {
 public:
  void line(Point from, Point to, Ink ink);
  void path(std::span<const Point> points, Ink ink);
  void path(std::span<const Point> points, const Stroke& stroke);
  void area(std::span<const Point> outline, Ink ink, double opacity);
  void cell(const Box& box, Ink ink, double opacity);  // of a grid
  void dot(Point centre, double radius, Ink ink);
  void symbol(Point centre, double radius, Symbol symbol, Ink ink);
  void bar(const Box& box, Ink ink);
  void text(Point baseline, std::string_view text, const TextStyle& style);

  std::string picture(double width, double height, std::string_view title) const;  // on a card; `title` is for screen readers
  // For a page that has ink_rules() in its style: as wide as there is room. `id` is one of its own in the page.
  std::string inline_picture(double width, double height, std::string_view id, const Words& words) const;

  std::string swatch(double width, double height) const;  // for the same page; says nothing to screen readers

 private:
  std::string body_;
};

enum class Page : uint8_t { light, dark };
std::string ink_rules(Page page);  // the colours as rules of CSS, each with a class of its own

std::string escaped_markup(std::string_view text);  // as the text of HTML, SVG and their attributes

double text_width(std::string_view text, double size);                      // roughly: the reader's font decides
std::string fitted_text(std::string_view text, double size, double width);  // as much of it as surely has room; "…" for the rest

}  // namespace fovea::report
