#include "fovea/model/arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "fovea/model/nearest.h"

namespace fovea::model {
namespace {

constexpr std::string_view digits = "0123456789";
constexpr std::string_view name_letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(' ');
  return first == std::string_view::npos ? "" : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

const Argument& argument_named(std::string_view name, const Arguments& arguments) {
  const auto found = arguments.values.find(name);
  if (found != arguments.values.end()) return found->second;
  std::vector<std::string> known;
  for (const auto& [known_name, value] : arguments.values) known.push_back(known_name);
  throw BadExpression{fmt::format("there is no argument `${}` here", name),
                      known.empty() ? "a network has `$classes` if it says `classes = N`, a block what its `arguments` and `defaults` name"
                                    : suggestion(name, "arguments", known)};
}

template <class Number>
std::optional<Number> number_in(std::string_view text) {
  Number number{};
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

[[noreturn]] void refuse(std::string_view text) {
  throw BadExpression{fmt::format("\"{}\" is not understood", text), "write \"$NAME\", or a product such as \"4 * $NAME\""};
}

Argument factor(std::string_view part, std::string_view text, const Arguments& arguments) {
  if (part.starts_with('$') && is_argument_name(part.substr(1))) return argument_named(part.substr(1), arguments);
  if (const auto integer = number_in<int64_t>(part)) return *integer;
  if (const auto number = number_in<double>(part)) return *number;
  refuse(text);
}

double as_number(const Argument& argument) {
  const int64_t* integer = std::get_if<int64_t>(&argument);
  return integer ? static_cast<double>(*integer) : std::get<double>(argument);
}

Argument product(const Argument& a, const Argument& b, std::string_view text) {
  for (const Argument* argument : {&a, &b})
    if (!std::holds_alternative<int64_t>(*argument) && !std::holds_alternative<double>(*argument))
      throw BadExpression{fmt::format("\"{}\" multiplies {}, which is not a number", text, text_of(*argument)), "multiply numbers alone"};
  const int64_t *x = std::get_if<int64_t>(&a), *y = std::get_if<int64_t>(&b);
  if (!x || !y) return as_number(a) * as_number(b);
  int64_t result = 0;
  if (__builtin_mul_overflow(*x, *y, &result))
    throw BadExpression{fmt::format("\"{}\" is {} times {}, which is too large", text, *x, *y), "give smaller numbers"};
  return result;
}

}  // namespace

Argument evaluate(std::string_view text, const Arguments& arguments) {
  std::optional<Argument> result;
  for (std::string_view rest = text;;) {
    const size_t star = rest.find('*');
    const Argument part = factor(trimmed(rest.substr(0, star)), text, arguments);
    result = result ? product(*result, part, text) : part;
    if (star == std::string_view::npos) return *result;
    rest.remove_prefix(star + 1);
  }
}

std::string text_of(const Argument& argument) {
  if (const bool* boolean = std::get_if<bool>(&argument)) return *boolean ? "true" : "false";
  if (const int64_t* integer = std::get_if<int64_t>(&argument)) return fmt::format("{}", *integer);
  if (const double* number = std::get_if<double>(&argument)) return fmt::format("{:#}", *number);
  return fmt::format("\"{}\"", std::get<std::string>(argument));
}

bool is_argument_name(std::string_view name) {
  return !name.empty() && name.find_first_not_of(name_letters) == std::string_view::npos &&
         digits.find(name.front()) == std::string_view::npos;
}

}  // namespace fovea::model
