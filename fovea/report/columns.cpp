#include "fovea/report/columns.h"

#include <fmt/format.h>

#include <algorithm>

namespace fovea::report {
namespace {

constexpr std::string_view gap = "  ";

std::string escaped(const std::string& cell) {
  std::string text;
  for (const char letter : cell) {
    if (letter == '|' || letter == '\\') text += '\\';
    text += letter == '\n' ? ' ' : letter;
  }
  return text;
}

size_t letters(std::string_view text) {  // of UTF-8
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char byte) { return (byte & 0xC0) != 0x80; }));
}

std::string padded(const std::string& text, size_t width, Align align) {
  const std::string spaces(width - letters(text), ' ');
  return align == Align::left ? text + spaces : spaces + text;
}

std::string repeated(std::string_view text, size_t count) {
  std::string result;
  for (size_t i = 0; i < count; ++i) result += text;
  return result;
}

std::string without_trailing_spaces(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

std::string markdown(const std::vector<Column>& columns) {
  std::string title = "|", rule = "|";
  for (const Column& column : columns) {
    title += fmt::format(" {} |", escaped(column.title));
    rule += column.align == Align::left ? " --- |" : " ---: |";
  }
  std::string text = title + "\n" + rule + "\n";
  for (size_t row = 0; row < columns.front().cells.size(); ++row) {
    text += '|';
    for (const Column& column : columns) text += fmt::format(" {} |", escaped(column.cells[row]));
    text += '\n';
  }
  return text;
}

std::string terminal(const std::vector<Column>& columns) {
  std::vector<size_t> widths;
  for (const Column& column : columns) {
    size_t width = letters(column.title);
    for (const std::string& cell : column.cells) width = std::max(width, letters(cell));
    widths.push_back(width);
  }
  const auto line = [&](auto&& cell_of) {
    std::string text;
    for (size_t i = 0; i < columns.size(); ++i) {
      if (i > 0) text += gap;
      text += padded(cell_of(columns[i]), widths[i], columns[i].align);
    }
    return without_trailing_spaces(std::move(text)) + "\n";
  };
  std::string text = line([](const Column& column) { return column.title; });
  for (size_t i = 0; i < columns.size(); ++i) text += fmt::format("{}{}", i > 0 ? gap : "", repeated("─", widths[i]));
  text += '\n';
  for (size_t row = 0; row < columns.front().cells.size(); ++row) text += line([&](const Column& column) { return column.cells[row]; });
  return text;
}

}  // namespace

std::string columns_text(const std::vector<Column>& columns, Style style) {
  return style == Style::markdown ? markdown(columns) : terminal(columns);
}

std::string grouped(double number, int decimals) {
  std::string text = fmt::format("{:.{}f}", number, decimals);
  const size_t first = text.starts_with('-') ? 1 : 0;
  const size_t point = std::min(text.find('.'), text.size());
  for (size_t place = point; place > first + 3;) text.insert(place -= 3, ",");
  return text;
}

}  // namespace fovea::report
