#include "fovea/report/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

namespace fovea::report {
namespace {

struct Colour {
  const char *name, *light, *dark;
};
// In the order of Ink. The series are told apart by eyes of every kind of colour vision, on both cards.
constexpr std::array<Colour, 15> colours = {{
    {"strong", "#1f2328", "#f0f6fc"},
    {"plain", "#424a53", "#c9d1d9"},
    {"faint", "#6e7781", "#8b949e"},
    {"grid", "#e4e8ec", "#2d333b"},
    {"s0", "#0a69da", "#58a6ff"},
    {"s1", "#d4650b", "#f0883e"},
    {"s2", "#1a7f5a", "#3fb98a"},
    {"s3", "#a3379b", "#d78bd1"},
    {"s4", "#8a6d00", "#d3b13c"},
    {"s5", "#5b6470", "#9aa5b1"},
    {"s6", "#c4233b", "#ff7b83"},
    {"s7", "#0b7285", "#45c7dd"},
    {"s8", "#6a4a34", "#c79a7b"},
    {"s9", "#6f9a12", "#a6d34a"},
    {"card", "#ffffff", "#161b22"},
}};
constexpr const char* fonts = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif";

constexpr std::array<const char*, 5> dashes = {"", "7 3", "2 3", "9 3 2 3", "1 5"};

// Of four: with the colour another pair for 40 series.
size_t pattern_of(size_t index) { return (index + index / 20) % (dashes.size() - 1); }

std::string steps_of(std::span<const Point> points) {
  std::string steps;
  for (const Point& point : points) steps += fmt::format("{}{:.1f} {:.1f}", steps.empty() ? 'M' : 'L', point.x, point.y);
  return steps;
}

const char* name_of(Ink ink) { return colours[static_cast<size_t>(ink)].name; }

}  // namespace

std::string escaped_markup(std::string_view text) {
  std::string result;
  for (const char letter : text) switch (letter) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        // XML has no place for control characters.
        result += static_cast<unsigned char>(letter) < ' ' && letter != '\n' && letter != '\t' ? ' ' : letter;
    }
  return result;
}

std::string ink_rules(Page page) {
  std::string rules;
  for (const Colour& colour : colours)
    rules += fmt::format("svg .{}{{color:{}}}", colour.name, page == Page::light ? colour.light : colour.dark);
  return rules;
}

Stroke series_stroke(size_t index) { return {series_ink(index), pattern_of(index)}; }

Stroke ideal_stroke() { return {Ink::plain, dashes.size() - 1, 2}; }

Symbol series_symbol(size_t index) { return static_cast<Symbol>(pattern_of(index)); }

Ink series_ink(size_t index) { return static_cast<Ink>(static_cast<size_t>(Ink::series0) + index % 10); }

void Svg::line(Point from, Point to, Ink ink) {
  body_ += fmt::format("<path class=\"{}\" stroke=\"currentColor\" d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}\"/>\n", name_of(ink), from.x, from.y,
                       to.x, to.y);
}

void Svg::path(std::span<const Point> points, Ink ink) { path(points, Stroke{ink}); }

void Svg::path(std::span<const Point> points, const Stroke& stroke) {
  const std::string pattern = dashes[stroke.dashes][0] == '\0' ? "" : fmt::format(" stroke-dasharray=\"{}\"", dashes[stroke.dashes]);
  const std::string opacity = stroke.opacity == 1 ? "" : fmt::format(" stroke-opacity=\"{:g}\"", stroke.opacity);
  body_ += fmt::format(
      "<path class=\"{}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"{:g}\" stroke-linejoin=\"round\"{}{} d=\"{}\"/>\n",
      name_of(stroke.ink), stroke.width, pattern, opacity, steps_of(points));
}

void Svg::area(std::span<const Point> outline, Ink ink, double opacity) {
  body_ +=
      fmt::format("<path class=\"{}\" fill=\"currentColor\" fill-opacity=\"{:g}\" d=\"{}Z\"/>\n", name_of(ink), opacity, steps_of(outline));
}

void Svg::cell(const Box& box, Ink ink, double opacity) {
  body_ += fmt::format(
      "<rect class=\"{}\" fill=\"currentColor\" fill-opacity=\"{:.3f}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/>\n",
      name_of(ink), opacity, box.x, box.y, box.width, box.height);
}

void Svg::dot(Point centre, double radius, Ink ink) {
  body_ += fmt::format("<circle class=\"{}\" fill=\"currentColor\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\"/>\n", name_of(ink), centre.x,
                       centre.y, radius);
}

void Svg::symbol(Point centre, double radius, Symbol symbol, Ink ink) {
  const auto [x, y] = centre;
  const double r = radius, half = 0.88 * radius;
  switch (symbol) {
    case Symbol::circle:
      return dot(centre, r, ink);
    case Symbol::square:
      return area(std::vector<Point>{{x - half, y - half}, {x + half, y - half}, {x + half, y + half}, {x - half, y + half}}, ink, 1);
    case Symbol::triangle:
      return area(std::vector<Point>{{x, y - 1.1 * r}, {x + r, y + half}, {x - r, y + half}}, ink, 1);
    case Symbol::diamond:
      return area(std::vector<Point>{{x, y - 1.25 * r}, {x + r, y}, {x, y + 1.25 * r}, {x - r, y}}, ink, 1);
  }
}

void Svg::bar(const Box& box, Ink ink) {
  body_ += fmt::format("<rect class=\"{}\" fill=\"currentColor\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"3\"/>\n",
                       name_of(ink), box.x, box.y, box.width, box.height);
}

void Svg::text(Point baseline, std::string_view text, const TextStyle& style) {
  constexpr std::array<const char*, 3> anchors = {"start", "middle", "end"};
  body_ +=
      fmt::format("<text class=\"{}\" fill=\"currentColor\" x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"{}\" text-anchor=\"{}\"{}>{}</text>\n",
                  name_of(style.ink), baseline.x, baseline.y, style.size, anchors[static_cast<size_t>(style.anchor)],
                  style.ink == Ink::strong ? " font-weight=\"600\"" : "", escaped_markup(text));
}

std::string Svg::picture(double width, double height, std::string_view title) const {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:g} {1:g}\" width=\"{0:g}\" height=\"{1:g}\" role=\"img\" "
      "font-family=\"{2}\">\n<title>{3}</title>\n<style>\n{4}\n@media(prefers-color-scheme:dark){{{5}}}\n</style>\n"
      "<rect class=\"card\" fill=\"currentColor\" width=\"{0:g}\" height=\"{1:g}\" rx=\"10\"/>\n{6}</svg>\n",
      width, height, fonts, escaped_markup(title), ink_rules(Page::light), ink_rules(Page::dark), body_);
}

std::string Svg::inline_picture(double width, double height, std::string_view id, const Words& words) const {
  return fmt::format(
      "<svg viewBox=\"0 0 {0:g} {1:g}\" role=\"img\" aria-labelledby=\"{2}-title {2}-description\" font-family=\"{3}\">\n"
      "<title id=\"{2}-title\">{4}</title>\n<desc id=\"{2}-description\">{5}</desc>\n{6}</svg>\n",
      width, height, id, fonts, escaped_markup(words.title), escaped_markup(words.description), body_);
}

std::string Svg::swatch(double width, double height) const {
  return fmt::format("<svg viewBox=\"0 0 {:g} {:g}\" aria-hidden=\"true\">{}</svg>", width, height, body_);
}

double text_width(std::string_view text, double size) {
  const auto letters = std::count_if(text.begin(), text.end(), [](char byte) { return (byte & 0xC0) != 0x80; });
  return 0.56 * size * static_cast<double>(letters);
}

std::string fitted_text(std::string_view text, double size, double width) {
  constexpr double wide_letter = 0.7;
  if (text_width(text, size) <= width && static_cast<double>(text.size()) * wide_letter * size <= width) return std::string(text);
  const auto room = static_cast<size_t>(std::max(1.0, width / (wide_letter * size)));
  std::string part;
  size_t letters = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool begins = (text[i] & 0xC0) != 0x80;
    if (begins && ++letters >= room) return part + "…";
    part += text[i];
  }
  return part;
}

}  // namespace fovea::report
