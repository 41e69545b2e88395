#include "fovea/model/expansion.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "fovea/model/nearest.h"

namespace fovea::model {
namespace {

constexpr int most_layers = 10000;  // of a network, with those that are left out
constexpr std::string_view input_name = "input";
const std::vector<std::string> keys_of_a_use = {"block", "name", "from", "when", "repeat", "first"};

class Expansion {
 public:
  Expansion(const TextTable& text, std::span<const KindName> kinds, int64_t classes) : blocks_(text.table("block")), kinds_(kinds) {
    auto arguments = std::make_shared<Arguments>();
    if (classes > 0) arguments->values["classes"] = classes;
    Scope network{"", image_input};
    open(text.with(std::move(arguments)).tables("layers"), network);
    check_that_all_is_used(network.previous);
  }

  std::vector<PlacedLayer> take() { return std::move(layers_); }

 private:
  using Values = std::map<std::string, Argument, std::less<>>;

  // What names stand for among the layers of the network, or of one use of a block.
  struct Scope {
    std::string prefix;                                   // "layer1.0."
    int previous;                                         // place of the layer whose output comes next
    std::map<std::string, int, std::less<>> values = {};  // by name, without the prefix
    std::map<std::string, int, std::less<>> lines = {};   // likewise
    std::map<std::string, int, std::less<>> counts = {};  // of layers by default name
  };

  void open(const std::vector<TextTable>& tables, Scope& scope) {
    scope.values[std::string(input_name)] = scope.previous;
    for (const TextTable& table : tables) place(table, scope);
  }

  void place(const TextTable& table, Scope& scope) {
    if (++visited_ > most_layers)
      throw table.error("", fmt::format("the network has more than {} layers", most_layers), ErrorId::too_large_layer)
          .help("repeat its blocks less often");
    const bool is_block = table.has("block");
    const size_t kind = is_block ? 0 : kind_of(table);
    const std::string default_name = is_block ? table.string("block") : std::string(kinds_[kind].default_name);
    const int count = ++scope.counts[default_name];
    const std::string name = table.string_or("name", fmt::format("{}{}", default_name, count));
    check_name(table, name, scope);
    std::vector<int> from = inputs_of(table, is_block ? "" : kinds_[kind].key, scope);
    int output = from[0];
    if (!table.boolean_or("when", true)) {
      table.ignore();
    } else if (is_block) {
      output = use_block(table, scope.prefix + name, output);
    } else {
      output = static_cast<int>(layers_.size());
      layers_.push_back({table, kind, scope.prefix + name, std::move(from)});
    }
    scope.values[name] = scope.previous = output;
    scope.lines[name] = table.line();
  }

  size_t kind_of(const TextTable& table) const {
    size_t found = kinds_.size();
    for (size_t i = 0; i < kinds_.size(); ++i) {
      const std::string_view key = kinds_[i].key;
      if (!table.has(key) || (found < kinds_.size() && (key == "batch_norm" || key == "activation"))) continue;
      if (found < kinds_.size())
        throw table.error(key, fmt::format("a layer is of one kind, but this one has both `{}` and `{}`", kinds_[found].key, key),
                          ErrorId::contradiction);
      found = i;
    }
    if (found < kinds_.size()) return found;
    const std::vector<std::string> keys = table.keys();
    if (keys.empty()) throw table.error("", "a layer is empty", ErrorId::missing_key);
    std::vector<std::string> known = {"block"};
    for (const KindName& kind : kinds_) known.emplace_back(kind.key);
    throw table.error(keys[0], fmt::format("a layer needs a kind, but `{}` is none", keys[0]), ErrorId::unknown_key)
        .help(suggestion(keys[0], "kinds", known));
  }

  static void check_name(const TextTable& table, const std::string& name, const Scope& scope) {
    constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    if (name.empty() || name.find_first_not_of(allowed) != std::string::npos)
      throw table.error("name", fmt::format("the layer name `{}` may have only letters, digits, `_` and `-`", name), ErrorId::layer_names);
    if (name == input_name)
      throw table.error("name", "no layer can be named `input`: that is what comes in", ErrorId::layer_names).help("take another name");
    if (scope.values.contains(name))
      throw table.error("name", fmt::format("two layers are named `{}`", name), ErrorId::layer_names)
          .note(fmt::format("the other one is in line {}", scope.lines.find(name)->second));
  }

  // One output, or for a join two or more: a single name joins the previous layer's output with it.
  static std::vector<int> inputs_of(const TextTable& table, std::string_view kind, const Scope& scope) {
    if (kind != "add" && kind != "concat") {
      const std::string from = table.string_or("from", "");
      return {table.has("from") ? value_named(table, "from", from, scope) : scope.previous};
    }
    const std::vector<std::string> names = table.strings(kind);
    std::vector<int> from;
    if (names.size() == 1) from.push_back(scope.previous);
    for (const std::string& name : names) from.push_back(value_named(table, kind, name, scope));
    if (kind == "add" && from.size() != 2)
      throw table.error(kind, fmt::format("`add` names {} outputs, but takes two", from.size())).help("add the rest in a layer of its own");
    return from;
  }

  static int value_named(const TextTable& table, std::string_view key, const std::string& name, const Scope& scope) {
    const auto found = scope.values.find(name);
    if (found != scope.values.end()) return found->second;
    std::vector<std::string> known;
    for (const auto& [known_name, value] : scope.values) known.push_back(known_name);
    throw table.error(key, fmt::format("no layer before this one is named `{}`", name), ErrorId::layer_names)
        .help(suggestion(name, "names", known));
  }

  int use_block(const TextTable& use, const std::string& name, int input) {
    const std::string block_name = use.string("block");
    if (!blocks_.has(block_name))
      throw use.error("block", fmt::format("there is no block `{}`", block_name), ErrorId::blocks)
          .help(suggestion(block_name, "blocks", blocks_.keys()));
    if (std::find(open_blocks_.begin(), open_blocks_.end(), block_name) != open_blocks_.end())
      throw use.error("block", fmt::format("block `{}` uses itself", block_name), ErrorId::blocks).help("repeat it with `repeat`");
    open_blocks_.push_back(block_name);
    used_blocks_.insert(block_name);
    const TextTable block = blocks_.table(block_name);
    const Values given = arguments_of(use, use, block, {});
    const int64_t repeat = use.integer_or("repeat", 1, {1, most_layers});
    if (!use.has("repeat")) {
      input = instance(use, block, {name + ".", input}, given);
    } else {
      const Values first = arguments_of(use, use.table("first"), block, given);
      for (int64_t i = 0; i < repeat; ++i) input = instance(use, block, {fmt::format("{}.{}.", name, i), input}, i == 0 ? first : given);
    }
    open_blocks_.pop_back();
    return input;
  }

  // From `table`, else from `otherwise`, else the block's default.
  static Values arguments_of(const TextTable& use, const TextTable& table, const TextTable& block, const Values& otherwise) {
    Values values;
    const std::vector<std::string> needed = block.strings("arguments");
    const TextTable defaults = block.table("defaults");
    const auto choose = [&](const std::string& name, std::optional<Argument> standard) {
      const auto before = otherwise.find(name);
      if (before != otherwise.end()) standard = before->second;
      if (const std::optional<Argument> given = table.argument(name)) standard = given;
      if (!standard) throw use.missing(name).note(fmt::format("block `{}` needs it", use.string("block")));
      values[name] = *standard;
    };
    for (const std::string& name : needed) {
      check_argument(block, "arguments", name);
      choose(name, std::nullopt);
    }
    for (const std::string& name : defaults.keys()) {
      check_argument(defaults, name, name);
      if (values.contains(name))
        throw defaults.error(name, fmt::format("argument `{}` has a default, so it cannot be among `arguments`, which must be given", name),
                             ErrorId::blocks);
      choose(name, defaults.argument(name));
    }
    return values;
  }

  static void check_argument(const TextTable& table, std::string_view key, const std::string& name) {
    if (!is_argument_name(name))
      throw table.error(key, fmt::format("the argument name `{}` may have only letters, digits and `_`, not a digit first", name),
                        ErrorId::blocks);
    if (std::find(keys_of_a_use.begin(), keys_of_a_use.end(), name) != keys_of_a_use.end())
      throw table.error(key, fmt::format("no argument can be named `{}`: it means something else where a block is used", name),
                        ErrorId::blocks);
  }

  // The block's layers with these arguments; returns the place of its output.
  int instance(const TextTable& use, const TextTable& block, Scope scope, Values values) {
    auto arguments = std::make_shared<Arguments>();
    arguments->notes = {note_of(use, scope, values)};
    const std::vector<std::string>& outer = use.notes();
    arguments->notes.insert(arguments->notes.end(), outer.begin(), outer.end());
    arguments->values = std::move(values);
    const TextTable inside = block.with(std::move(arguments));
    const std::vector<TextTable> layers = inside.tables("layers");
    if (!inside.has("layers")) throw inside.missing("layers");
    if (layers.empty()) throw inside.error("layers", fmt::format("block `{}` has no layers", use.string("block")), ErrorId::blocks);
    open(layers, scope);
    return scope.previous;
  }

  static std::string note_of(const TextTable& use, const Scope& scope, const Values& values) {
    std::vector<std::string> given;
    for (const auto& [name, value] : values) given.push_back(fmt::format("{} = {}", name, text_of(value)));
    return fmt::format("in block `{}`, used as `{}` in line {}{}", use.string("block"), scope.prefix.substr(0, scope.prefix.size() - 1),
                       use.line(), given.empty() ? "" : fmt::format(" with {}", fmt::join(given, ", ")));
  }

  void check_that_all_is_used(int output) const {
    for (const std::string& name : blocks_.keys())
      if (!used_blocks_.contains(name))
        throw blocks_.error(name, fmt::format("block `{}` is not used", name), ErrorId::blocks)
            .help(fmt::format("use it as a layer, `{{ block = \"{}\" }}`, or take it out", name));
    std::vector<char> used(layers_.size());
    for (const PlacedLayer& layer : layers_)
      for (const int from : layer.from)
        if (from != image_input) used[static_cast<size_t>(from)] = 1;
    if (output != image_input) used[static_cast<size_t>(output)] = 1;
    for (size_t i = 0; i < layers_.size(); ++i)
      if (used[i] == 0)
        throw layers_[i]
            .table.error("", fmt::format("layer `{}` gives an output that no layer takes", layers_[i].name), ErrorId::layer_names)
            .help("join it with `add` or `concat`, or take it out");
  }

  TextTable blocks_;
  std::span<const KindName> kinds_;
  std::vector<PlacedLayer> layers_;
  std::vector<std::string> open_blocks_;
  std::set<std::string, std::less<>> used_blocks_;
  int visited_ = 0;
};

}  // namespace

std::vector<PlacedLayer> expand(const TextTable& text, std::span<const KindName> kinds, int64_t classes) {
  return Expansion(text, kinds, classes).take();
}

}  // namespace fovea::model
