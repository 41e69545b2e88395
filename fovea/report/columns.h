// Texts and numbers under headings, aligned for a terminal or as Markdown.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fovea::report {

enum class Style : uint8_t { terminal, markdown };
enum class Align : uint8_t { left, right };

struct Column {
  std::string title;
  Align align = Align::left;
  std::vector<std::string> cells;
};

std::string columns_text(const std::vector<Column>& columns, Style style);  // every column has as many cells; ends with a newline

std::string grouped(double number, int decimals);  // "12,345.6"

}  // namespace fovea::report
