// toml++ behind typed getters; the only file that includes it.
#include "fovea/model/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>

#define TOML_ENABLE_FORMATTERS 0
#define TOML_ASSERT(expression) static_cast<void>(0)  // it would abort, even on `[1,,2]`; the parser finds the mistake by itself
#include <toml++/toml.h>

#include "fovea/model/nearest.h"

namespace fovea::model {

struct TextTable::Entry {
  const toml::table* table = nullptr;  // nullptr: absent, so empty
  std::string path;                    // "" for the whole text
  int line = 0;
  std::vector<std::string> asked = {};  // keys, in the order of the first question
  std::map<std::string, std::vector<Entry*>> inner = {};

  const toml::node* get(std::string_view key) const { return table ? table->get(key) : nullptr; }
  const toml::node* ask(std::string_view key) {
    if (std::find(asked.begin(), asked.end(), key) == asked.end()) asked.emplace_back(key);
    return get(key);
  }
};

struct TextTable::Document {
  std::string file;
  toml::table root;
  std::deque<Entry> entries;                               // addresses stay
  std::deque<std::unique_ptr<toml::node>> with_arguments;  // values in which `$name` was replaced
};

// What a key stands for.
struct TextTable::Nodes {
  static const toml::node* ask(const TextTable& table, std::string_view key) {
    table.entry_->ask(key);
    return get(table, key);
  }
  static const toml::node* get(const TextTable& table, std::string_view key) {
    const toml::node* node = table.entry_->get(key);
    if (!node || !table.arguments_) return node;
    try {
      if (const auto* string = node->as_string(); string && refers_to_argument(string->get()))
        return table.document_->with_arguments.emplace_back(node_of(evaluate(string->get(), *table.arguments_))).get();
      if (const toml::array* array = node->as_array(); array && has_argument(*array))
        return table.document_->with_arguments.emplace_back(replaced(*array, *table.arguments_)).get();
    } catch (const BadExpression& bad) {
      throw table.error(key, fmt::format("`{}`: {}", key, bad.what)).help(bad.help);
    }
    return node;
  }

 private:
  static bool has_argument(const toml::array& array) {
    return std::any_of(array.begin(), array.end(),
                       [](const toml::node& node) { return node.is_string() && refers_to_argument(node.as_string()->get()); });
  }
  static std::unique_ptr<toml::node> node_of(const Argument& argument) {
    return std::visit(
        [](const auto& value) -> std::unique_ptr<toml::node> {
          return std::make_unique<toml::value<std::decay_t<decltype(value)>>>(value);
        },
        argument);
  }
  static std::unique_ptr<toml::node> replaced(const toml::array& array, const Arguments& arguments) {
    auto copy = std::make_unique<toml::array>();
    for (const toml::node& node : array) {
      const auto* string = node.as_string();
      if (string && refers_to_argument(string->get())) {
        std::visit([&](const auto& value) { copy->push_back(value); }, evaluate(string->get(), arguments));
      } else {
        copy->push_back(node);
      }
    }
    return copy;
  }
};

namespace {

int line_of_node(const toml::node& node) { return static_cast<int>(node.source().begin.line); }

std::string describe(const toml::node& node) {
  if (const auto* string = node.as_string()) return fmt::format("the string \"{}\"", string->get());
  if (const auto* integer = node.as_integer()) return fmt::format("{}", integer->get());
  if (const auto* number = node.as_floating_point()) return fmt::format("{:#}", number->get());
  if (const auto* boolean = node.as_boolean()) return boolean->get() ? "true" : "false";
  if (node.is_array()) return "an array";
  if (node.is_table()) return "a table";
  return "a date or time";
}

// What is wrong with one value, for the key's error.
struct Refusal {
  std::string what;
};

template <class T>
void check_range(T value, T least, T most) {
  if (value < least) throw Refusal{fmt::format("is {}, but must be at least {}", value, least)};
  if (value > most) throw Refusal{fmt::format("is {}, but must be at most {}", value, most)};
}

int64_t read_integer(const toml::node& node, IntegerRange range) {
  const auto* integer = node.as_integer();
  if (!integer) throw Refusal{fmt::format("must be a whole number, not {}", describe(node))};
  check_range(integer->get(), range.least, range.most);
  return integer->get();
}

double read_number(const toml::node& node, NumberRange range) {
  const auto* number = node.as_floating_point();
  const auto* integer = node.as_integer();
  if (!number && !integer) throw Refusal{fmt::format("must be a number, not {}", describe(node))};
  const double value = number ? number->get() : static_cast<double>(integer->get());
  if (!std::isfinite(value)) throw Refusal{fmt::format("is {}, but must be finite", value)};
  check_range(value, range.least, range.most);
  return value;
}

bool read_boolean(const toml::node& node) {
  const auto* boolean = node.as_boolean();
  if (!boolean) throw Refusal{fmt::format("must be true or false, not {}", describe(node))};
  return boolean->get();
}

std::string read_string(const toml::node& node) {
  const auto* string = node.as_string();
  if (!string) throw Refusal{fmt::format("must be a string, not {}", describe(node))};
  return string->get();
}

Argument read_argument(const toml::node& node) {
  if (const auto* boolean = node.as_boolean()) return boolean->get();
  if (const auto* integer = node.as_integer()) return integer->get();
  if (const auto* number = node.as_floating_point()) return number->get();
  if (const auto* string = node.as_string()) return string->get();
  throw Refusal{fmt::format("must be a number, true, false or a string, not {}", describe(node))};
}

// Calls `read` on the key's node; a refusal becomes an error at the place of the key.
template <class Read>
auto read_at(const TextTable& table, std::string_view key, const toml::node* node, Read read) {
  if (!node) throw table.missing(key);
  try {
    return read(*node);
  } catch (const Refusal& refusal) {
    throw table.error(key, fmt::format("`{}` {}", key, refusal.what));
  }
}

template <class T, class Read>
std::vector<T> read_list(const TextTable& table, std::string_view key, const toml::node* node, Read read) {
  if (!node) return {};
  return read_at(table, key, node, [&](const toml::node& value) {
    std::vector<T> list;
    if (const toml::array* array = value.as_array()) {
      for (const toml::node& element : *array) list.push_back(read(element));
      if (list.empty()) throw Refusal{"is an empty array"};
    } else {
      list.push_back(read(value));
    }
    return list;
  });
}

void check_choice(const TextTable& table, std::string_view key, const std::string& value, std::span<const std::string> options) {
  if (std::find(options.begin(), options.end(), value) != options.end()) return;
  throw table.error(key, fmt::format("`{}` is \"{}\", which is not known", key, value)).help(suggestion(value, "values", options));
}

}  // namespace

TextTable TextTable::parse(std::string text, std::string file) {
  auto document = std::make_shared<Document>();
  document->file = std::move(file);
  try {
    document->root = toml::parse(text);
  } catch (const toml::parse_error& problem) {
    throw Error(ExitCode::config, std::string(problem.description()))
        .at(document->file, static_cast<int>(problem.source().begin.line))
        .note("the file is not valid TOML 1.0");
  }
  Entry& root = document->entries.emplace_back(Entry{&document->root, "", 1});
  return TextTable(std::move(document), &root, nullptr);
}

TextTable TextTable::with(std::shared_ptr<const Arguments> arguments) const { return TextTable(document_, entry_, std::move(arguments)); }
std::vector<std::string> TextTable::notes() const { return arguments_ ? arguments_->notes : std::vector<std::string>(); }

const std::string& TextTable::file() const { return document_->file; }
int TextTable::line() const { return entry_->line; }

int TextTable::line_of(std::string_view key) const {
  const toml::node* node = entry_->get(key);
  return node ? line_of_node(*node) : entry_->line;
}

bool TextTable::has(std::string_view key) const { return entry_->get(key) != nullptr; }
bool TextTable::is_table(std::string_view key) const { return has(key) && Nodes::get(*this, key)->is_table(); }
bool TextTable::is_string(std::string_view key) const { return has(key) && Nodes::get(*this, key)->is_string(); }

std::vector<std::string> TextTable::keys() const {
  std::vector<const toml::key*> found;
  if (entry_->table)
    for (const auto& [key, node] : *entry_->table) found.push_back(&key);
  std::sort(found.begin(), found.end(), [](const toml::key* a, const toml::key* b) {
    const toml::source_position x = a->source().begin, y = b->source().begin;
    return x.line != y.line ? x.line < y.line : x.column < y.column;
  });
  std::vector<std::string> names;
  for (const toml::key* key : found) names.emplace_back(key->str());
  return names;
}

int64_t TextTable::integer(std::string_view key, IntegerRange range) const {
  return read_at(*this, key, Nodes::ask(*this, key), [&](const toml::node& node) { return read_integer(node, range); });
}
int64_t TextTable::integer_or(std::string_view key, int64_t otherwise, IntegerRange range) const {
  return Nodes::ask(*this, key) ? integer(key, range) : otherwise;
}
double TextTable::number(std::string_view key, NumberRange range) const {
  return read_at(*this, key, Nodes::ask(*this, key), [&](const toml::node& node) { return read_number(node, range); });
}
double TextTable::number_or(std::string_view key, double otherwise, NumberRange range) const {
  return Nodes::ask(*this, key) ? number(key, range) : otherwise;
}
bool TextTable::boolean(std::string_view key) const { return read_at(*this, key, Nodes::ask(*this, key), read_boolean); }
bool TextTable::boolean_or(std::string_view key, bool otherwise) const { return Nodes::ask(*this, key) ? boolean(key) : otherwise; }
std::string TextTable::string(std::string_view key) const { return read_at(*this, key, Nodes::ask(*this, key), read_string); }
std::string TextTable::string_or(std::string_view key, std::string otherwise) const {
  return Nodes::ask(*this, key) ? string(key) : otherwise;
}

std::string TextTable::choice(std::string_view key, std::span<const std::string> options) const {
  std::string value = string(key);
  check_choice(*this, key, value, options);
  return value;
}
std::string TextTable::choice_or(std::string_view key, std::string otherwise, std::span<const std::string> options) const {
  return Nodes::ask(*this, key) ? choice(key, options) : otherwise;
}

std::vector<int64_t> TextTable::integers(std::string_view key, IntegerRange range) const {
  return read_list<int64_t>(*this, key, Nodes::ask(*this, key), [&](const toml::node& node) { return read_integer(node, range); });
}
std::vector<double> TextTable::numbers(std::string_view key, NumberRange range) const {
  return read_list<double>(*this, key, Nodes::ask(*this, key), [&](const toml::node& node) { return read_number(node, range); });
}
std::vector<std::string> TextTable::strings(std::string_view key) const {
  return read_list<std::string>(*this, key, Nodes::ask(*this, key), read_string);
}
std::optional<Argument> TextTable::argument(std::string_view key) const {
  const toml::node* node = Nodes::ask(*this, key);
  return node ? std::optional(read_at(*this, key, node, read_argument)) : std::nullopt;
}

TextTable TextTable::table(std::string_view key) const {
  std::vector<Entry*>& inner = entry_->inner[std::string(key)];
  if (!inner.empty()) return TextTable(document_, inner[0], arguments_);
  const toml::node* node = entry_->ask(key);
  if (node && !node->is_table()) throw error(key, fmt::format("`{}` must be a table, not {}", key, describe(*node)));
  const int line = node ? line_of_node(*node) : entry_->line;
  inner.push_back(&document_->entries.emplace_back(Entry{node ? node->as_table() : nullptr, std::string(key), line}));
  return TextTable(document_, inner[0], arguments_);
}

std::vector<TextTable> TextTable::tables(std::string_view key) const {
  std::vector<Entry*>& inner = entry_->inner[std::string(key)];
  const toml::node* node = entry_->ask(key);
  if (inner.empty() && node) {
    const toml::array* array = node->as_array();
    if (!array) throw error(key, fmt::format("`{}` must be an array of tables, not {}", key, describe(*node)));
    for (const toml::node& element : *array) {
      if (!element.is_table())
        throw Error(ExitCode::config, fmt::format("`{}` must be an array of tables, but has {} in it", key, describe(element)))
            .at(file(), line_of_node(element));
      inner.push_back(&document_->entries.emplace_back(Entry{element.as_table(), std::string(key), line_of_node(element)}));
    }
  }
  std::vector<TextTable> tables;
  for (Entry* entry : inner) tables.push_back(TextTable(document_, entry, arguments_));
  return tables;
}

void TextTable::ignore() const {
  for (const std::string& key : keys()) entry_->ask(key);
}

void TextTable::refuse_unread() const {
  for (const std::string& key : keys()) {
    if (std::find(entry_->asked.begin(), entry_->asked.end(), key) != entry_->asked.end()) continue;
    const std::string where = entry_->path.empty() ? "" : fmt::format(" in `{}`", entry_->path);
    throw error(key, fmt::format("unknown key `{}`{}", key, where)).help(suggestion(key, "keys", entry_->asked));
  }
  for (const auto& [key, tables] : entry_->inner)
    for (Entry* entry : tables) TextTable(document_, entry, arguments_).refuse_unread();
}

Error TextTable::missing(std::string_view key) const {
  Error problem = error(key, fmt::format("key `{}` is missing", key));
  const std::string mistyped = nearest(key, keys());
  if (!mistyped.empty()) problem.help(fmt::format("is `{}` meant to be `{}`?", mistyped, key));
  return problem;
}

Error TextTable::error(std::string_view key, std::string message) const {
  Error problem(ExitCode::config, std::move(message));
  problem.at(file(), line_of(key));
  for (const std::string& note : notes()) problem.note(note);
  return problem;
}

}  // namespace fovea::model
