// Arguments that a text refers to by `$name`: those of a block, and of a network as a whole.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace fovea::model {

using Argument = std::variant<bool, int64_t, double, std::string>;

struct Arguments {
  std::map<std::string, Argument, std::less<>> values;
  std::vector<std::string> notes;  // of every error in a table that is read with them: where they were given
};

struct BadExpression {
  std::string what, help;
};

inline bool refers_to_argument(std::string_view text) { return text.find('$') != std::string_view::npos; }

// `$name`, or a product of numbers and names: `4 * $channels`. Throws BadExpression.
Argument evaluate(std::string_view text, const Arguments& arguments);

std::string text_of(const Argument& argument);  // as TOML
bool is_argument_name(std::string_view name);   // letters, digits and `_`, not a digit first

}  // namespace fovea::model
