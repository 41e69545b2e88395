// The reader of models and recipes (TOML 1.0): typed values, the place of everything read, and an error for every key that nobody read.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/base/error.h"
#include "fovea/model/arguments.h"

namespace fovea::model {

struct IntegerRange {
  int64_t least = std::numeric_limits<int64_t>::min(), most = std::numeric_limits<int64_t>::max();
};
struct NumberRange {
  double least = std::numeric_limits<double>::lowest(), most = std::numeric_limits<double>::max();
};

// One table of the text. Copies refer to the same table: a key read through one counts as read for all.
// A getter with a default returns it where the key is absent; one without throws Error (config).
class TextTable {
 public:
  static TextTable parse(std::string text, std::string file);

  // The same table where `$name` in a string stands for an argument. Tables got from it have the arguments too.
  TextTable with(std::shared_ptr<const Arguments> arguments) const;

  std::vector<std::string> notes() const;  // of those arguments

  const std::string& file() const;
  int line() const;                           // where the table begins
  int line_of(std::string_view key) const;    // where the key's value stands; the table's line if it is absent
  bool has(std::string_view key) const;       // asking does not count as reading
  bool is_table(std::string_view key) const;  // also false where it is absent
  bool is_string(std::string_view key) const;
  std::vector<std::string> keys() const;  // in the order of the text

  int64_t integer(std::string_view key, IntegerRange range = {}) const;
  int64_t integer_or(std::string_view key, int64_t otherwise, IntegerRange range = {}) const;
  double number(std::string_view key, NumberRange range = {}) const;  // an integer will do
  double number_or(std::string_view key, double otherwise, NumberRange range = {}) const;
  bool boolean(std::string_view key) const;
  bool boolean_or(std::string_view key, bool otherwise) const;
  std::string string(std::string_view key) const;
  std::string string_or(std::string_view key, std::string otherwise) const;
  std::string choice(std::string_view key, std::span<const std::string> options) const;  // one of the options
  std::string choice_or(std::string_view key, std::string otherwise, std::span<const std::string> options) const;
  // An array, or a single value as an array of one; empty where the key is absent.
  std::vector<int64_t> integers(std::string_view key, IntegerRange range = {}) const;
  std::vector<double> numbers(std::string_view key, NumberRange range = {}) const;
  std::vector<std::string> strings(std::string_view key) const;
  std::optional<Argument> argument(std::string_view key) const;  // a boolean, a number or a string
  TextTable table(std::string_view key) const;                   // an empty one where the key is absent
  std::vector<TextTable> tables(std::string_view key) const;     // an array of tables; empty where the key is absent

  void ignore() const;  // all its keys count as read

  // Throws for the first key, here or in a table got from here, that no getter has asked for.
  void refuse_unread() const;

  // At the place of the key; `missing` also names a key that may have been meant.
  Error missing(std::string_view key) const;
  Error error(std::string_view key, std::string message, ErrorId id = ErrorId::bad_value) const;

 private:
  struct Document;
  struct Entry;
  struct Nodes;
  TextTable(std::shared_ptr<Document> document, Entry* entry, std::shared_ptr<const Arguments> arguments)
      : document_(std::move(document)), entry_(entry), arguments_(std::move(arguments)) {}

  std::shared_ptr<Document> document_;
  Entry* entry_;                                // owned by the document
  std::shared_ptr<const Arguments> arguments_;  // nullptr: `$` has no meaning
};

}  // namespace fovea::model
