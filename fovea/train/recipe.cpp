// One list of keys drives reading, flags, --help and writing.
#include "fovea/train/recipe.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <utility>

#include "fovea/base/file.h"
#include "fovea/model/shipped.h"
#include "fovea/model/text.h"
#include "fovea/train/memory_limit.h"
#include "fovea/train/recipe_check.h"
#include "fovea/train/save_every.h"

namespace fovea::train {
namespace {

using model::IntegerRange;
using model::NumberRange;
using model::TextTable;
using Options = std::vector<std::string>;
struct ShareOrTest {};     // what `valid` takes
struct SavingInterval {};  // what `save_every` takes
struct MemorySize {};      // what `memory_limit` takes
struct BatchSize {         // what `batch` takes
  IntegerRange range;
};

struct Key {
  std::string_view name, placeholder, help;
};

// Calls visit(key, member[, range or options]) for every key, in the order in which they are shown.
template <class AnyRecipe, class Visit>
void for_each_key(AnyRecipe& r, Visit&& visit) {
  constexpr int64_t many = int64_t{1} << 31;
  constexpr double almost_one = 0.999999;  // the largest decay: below 1 in single precision too, which divides by 1 - beta
  visit(Key{"data", "SPEC", "data set: digits, mnist:DIR, cifar10:DIR or synthetic:HxWxC:CLASSES"}, r.data);
  visit(Key{"model", "NAME|FILE", "network: a name that `fovea models` lists, or a .toml file"}, r.model);
  visit(Key{"backend", "NAME", "implementation to run on; `fovea doctor` lists them (default: the fastest this machine has)"}, r.backend);
  visit(
      Key{"precision", "NAME",
          "fp32; tf32: products of factors rounded to 11 bits; bf16 or fp16: values of 16 bits, weights of 32; all but fp32 need a GPU, or "
          "the backend onednn (bf16) or reference"},
      r.precision, Options{"fp32", "tf32", "bf16", "fp16"});
  visit(Key{"threads", "N", "threads of a parallel backend; 0 takes one for each core"}, r.threads, IntegerRange{0, 4096});
  visit(Key{"epochs", "N", "passes over the training images"}, r.epochs, IntegerRange{1, 1000000});
  visit(Key{"batch", "N|auto",
            "images per update; the last, partial batch of an epoch is trained too; auto: the largest power of two that fits"},
        r.batch, BatchSize{{1, many}});
  visit(Key{"micro_batches", "N", "parts of a batch whose gradients are summed one after another, to save memory"}, r.micro_batches,
        IntegerRange{1, many});
  visit(Key{"seed", "N", "of initial weights, order, augmentation and dropout"}, r.seed, IntegerRange{0, INT64_MAX});
  visit(Key{"out", "DIR", "folder for the results (default: runs/<model>-<n>)"}, r.out);
  visit(Key{"memory_limit", "SIZE", "that a run may take on its device: 2 GiB, 500 MiB (default: what is free)"}, r.memory_limit,
        MemorySize());
  visit(Key{"optimizer", "NAME", "sgd, adam, adamw or rmsprop"}, r.optimizer, Options{"sgd", "adam", "adamw", "rmsprop"});
  visit(Key{"learning_rate", "RATE", "at the start; with one_cycle, at the peak"}, r.learning_rate, NumberRange{0, 1e6});
  visit(Key{"momentum", "M", "of sgd and rmsprop"}, r.momentum, NumberRange{0, 1});
  visit(Key{"nesterov", "true|false", "look-ahead momentum of sgd"}, r.nesterov);
  visit(Key{"weight_decay", "D", "added to every gradient as D times the weight; with adamw, taken off the weight by itself"},
        r.weight_decay, NumberRange{0, 1e6});
  visit(Key{"decay_on", "all|weights", "what decays: all parameters, or filters and matrices alone, not biases nor batch norms"},
        r.decay_on, Options{"all", "weights"});
  visit(Key{"beta1", "B", "of adam and adamw"}, r.beta1, NumberRange{0, almost_one});
  visit(Key{"beta2", "B", "of adam and adamw"}, r.beta2, NumberRange{0, almost_one});
  visit(Key{"alpha", "A", "of rmsprop: what is kept of the mean square of the gradients"}, r.alpha, NumberRange{0, 1});
  visit(Key{"epsilon", "E", "of adam, adamw and rmsprop"}, r.epsilon, NumberRange{0, 1});
  visit(Key{"clip_norm", "N", "longest that all gradients together may be, as one vector; 0: any length"}, r.clip_norm,
        NumberRange{0, 1e30});
  visit(Key{"ema_decay", "D", "average the weights over the steps, test and save the average; 0: no average"}, r.ema_decay,
        NumberRange{0, almost_one});
  visit(Key{"label_smoothing", "S", "share of the target spread over all classes"}, r.label_smoothing, NumberRange{0, 1});
  visit(Key{"class_weights", "W,...|balanced",
            "factor of the training loss of each class, or \"balanced\": images / (classes * images of the class)"},
        r.class_weights);
  visit(Key{"schedule", "NAME", "of the learning rate: constant, step, milestones, plateau, cosine, one_cycle or linear"}, r.schedule,
        Options{"constant", "step", "milestones", "plateau", "cosine", "one_cycle", "linear"});
  visit(Key{"step_every", "EPOCHS", "step: epochs between two drops"}, r.step_every, IntegerRange{1, 1000000});
  visit(Key{"milestones", "EPOCHS,...", "milestones: epochs after which the rate drops; parts of an epoch will do"}, r.milestones,
        NumberRange{0, 1e6});
  visit(Key{"plateau_patience", "EPOCHS", "plateau: epochs without improvement before a drop"}, r.plateau_patience,
        IntegerRange{1, 1000000});
  visit(Key{"step_factor", "F", "step, milestones, plateau: what the rate is multiplied with at a drop"}, r.step_factor, NumberRange{0, 1});
  visit(Key{"final_rate", "SHARE",
            "as a share of learning_rate; cosine, one_cycle, linear: what an update after the last would have; plateau: the least"},
        r.final_rate, NumberRange{0, 1});
  visit(Key{"peak_at", "SHARE", "one_cycle: share of the steps before the peak"}, r.peak_at, NumberRange{0, 1});
  visit(Key{"warmup_epochs", "EPOCHS", "in which the rate first rises, step by step, to where the schedule begins"}, r.warmup_epochs,
        NumberRange{0, 1e6});
  visit(Key{"valid", "SHARE|test", "images to validate on after each epoch: a share taken out of the training images, or the test images"},
        r.valid, ShareOrTest());
  visit(Key{"watch", "accuracy|loss", "of the validation: what tells which epoch is best, for plateau, early_stopping and keep"}, r.watch,
        Options{"accuracy", "loss"});
  visit(Key{"min_delta", "D", "plateau, early_stopping: what counts as an improvement"}, r.min_delta, NumberRange{0, 1e6});
  visit(Key{"early_stopping", "EPOCHS", "stop after so many epochs without improvement; 0: never"}, r.early_stopping,
        IntegerRange{0, 1000000});
  visit(Key{"keep", "last|best", "weights to save: of the last epoch, or of the best (the default with early_stopping)"}, r.keep,
        Options{"last", "best"});
  visit(Key{"positive", "CLASS,...", "classes that become label 1 of a yes-or-no question; all others become 0"}, r.positive);
  visit(Key{"mean", "M,...", "per channel, subtracted from pixels in [0, 1] (default: of the training images)"}, r.mean,
        NumberRange{-1e6, 1e6});
  visit(Key{"deviation", "D,...", "per channel, divides what is left (default: of the training images)"}, r.deviation,
        NumberRange{1e-6, 1e6});
  visit(Key{"mirror", "true|false", "flip training images at random"}, r.mirror);
  visit(Key{"crop_padding", "PIXELS", "crop training images at random after padding them by this much"}, r.crop_padding,
        IntegerRange{0, 1 << 20});
  visit(Key{"claims", "true|false", "let the backend fuse neighbouring operators"}, r.claims);
  visit(Key{"recompute", "true|false",
            "less memory, more time: compute again, for the gradients, what batch norms, activations and sums gave, instead of keeping it"},
        r.recompute);
  visit(Key{"save_every", "N UNIT", "how often to save a checkpoint: 500 steps, 1 epoch, 10 min, 30 s, or never"}, r.save_every,
        SavingInterval());
  visit(Key{"replay", "true|false", "record a step once and replay it, where the device can do that"}, r.replay);
  visit(Key{"dependent_launch", "true|false", "let a kernel start before the one in front of it has ended, where the device can do that"},
        r.dependent_launch);
  visit(
      Key{"autotune", "off|engines|across",
          "what is chosen by measuring before the first step: nothing, the engines of libraries, or also, step by step, the fastest of all "
          "backends in the same memory (cuda and cudnn; eigen, openmp and onednn)"},
      r.autotune, Options{"off", "engines", "across"});
  visit(Key{"tuning", "FILE", "tuning.json of another run on this machine: nothing is measured that it holds"}, r.tuning);
}

std::optional<double> share_in(std::string_view text) {
  double share = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), share);
  if (failure != std::errc() || end != text.data() + text.size() || !(share >= 0 && share < 1)) return std::nullopt;
  return share;
}

std::string what_valid_takes(std::string_view text) {
  return fmt::format("`valid` is \"{}\", but must be a share from 0 to 1, or \"test\"", text);
}
constexpr const char* valid_remedy = "set valid = 0.1 to take a tenth of the training images, or valid = \"test\"";

constexpr const char* balanced = "balanced";
constexpr const char* automatic = "auto";

// Takes the keys that a table has.
struct Reader {
  const TextTable& table;

  void operator()(const Key& key, std::string& value) const { value = table.string_or(key.name, value); }
  void operator()(const Key& key, std::string& value, ShareOrTest) const {
    if (!table.has(key.name)) return;
    value = table.is_string(key.name) ? table.string(key.name) : fmt::format("{}", table.number(key.name));
    if (value != "test" && !share_in(value)) throw table.error(key.name, what_valid_takes(value)).help(valid_remedy);
  }
  void operator()(const Key& key, std::string& value, SavingInterval) const {
    value = table.string_or(key.name, value);
    if (table.has(key.name)) save_every(value);  // throws
  }
  void operator()(const Key& key, std::string& value, MemorySize) const {
    value = table.string_or(key.name, value);
    if (table.has(key.name)) memory_limit(value);  // throws
  }
  void operator()(const Key& key, int64_t& value, const BatchSize& batch) const {
    if (table.has(key.name) && table.is_string(key.name)) {
      table.choice(key.name, Options{automatic});
      value = automatic_batch;
    } else {
      value = table.integer_or(key.name, value, batch.range);
    }
  }
  void operator()(const Key& key, std::string& value, const Options& options) const {
    if (table.has(key.name)) value = table.choice(key.name, options);
  }
  void operator()(const Key& key, int64_t& value, IntegerRange range) const { value = table.integer_or(key.name, value, range); }
  void operator()(const Key& key, double& value, NumberRange range) const { value = table.number_or(key.name, value, range); }
  void operator()(const Key& key, Switch& value) const {
    value = table.boolean_or(key.name, value == Switch::on) ? Switch::on : Switch::off;
  }
  void operator()(const Key& key, std::vector<std::string>& value) const {
    if (table.has(key.name)) value = table.strings(key.name);
  }
  void operator()(const Key& key, ClassWeights& value) const {
    if (!table.has(key.name)) return;
    if (table.is_string(key.name)) {
      table.choice(key.name, Options{balanced});
      value = {ClassWeights::Kind::balanced};
    } else {
      value = {ClassWeights::Kind::given, table.numbers(key.name, {0, 1e6})};
    }
  }
  void operator()(const Key& key, std::vector<double>& value, NumberRange range) const {
    if (table.has(key.name)) value = table.numbers(key.name, range);
  }
};

std::string toml_string(std::string_view text) {
  std::string result = "\"";
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') result += '\\';
    if (static_cast<unsigned char>(letter) < ' ' || letter == '\x7f') {
      result += fmt::format("\\u{:04x}", static_cast<int>(letter));
    } else {
      result += letter;
    }
  }
  return result + '"';
}

// Values as TOML, and what a flag's text is in TOML.
struct Writer {
  std::string operator()(const std::string& value) const { return toml_string(value); }
  std::string operator()(int64_t value) const { return fmt::format("{}", value); }
  std::string operator()(int64_t value, const BatchSize&) const {
    return value == automatic_batch ? toml_string(automatic) : (*this)(value);
  }
  std::string operator()(double value) const {
    const std::string text = fmt::format("{}", value);
    return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
  }
  std::string operator()(Switch value) const { return value == Switch::on ? "true" : "false"; }
  std::string operator()(const ClassWeights& value) const {
    return value.kind == ClassWeights::Kind::balanced ? toml_string(balanced) : (*this)(value.given);
  }
  template <class Value>
  std::string operator()(const std::vector<Value>& values) const {
    std::vector<std::string> texts;
    for (const Value& value : values) texts.push_back((*this)(value));
    return fmt::format("[{}]", fmt::join(texts, ", "));
  }
  template <class Value, class Range>
  std::string operator()(const Value& value, const Range&) const {
    return (*this)(value);
  }
};

std::string flag_as_toml(const std::string& text, const std::string&) { return toml_string(text); }
std::string flag_as_toml(const std::string& text, const std::vector<std::string>&) {
  std::vector<std::string> items;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    items.push_back(toml_string(std::string_view(text).substr(begin, end - begin)));
    begin = end + 1;
  }
  return fmt::format("[{}]", fmt::join(items, ", "));
}
std::string flag_as_toml(const std::string& text, const std::vector<double>&) { return "[" + text + "]"; }
std::string flag_as_toml(const std::string& text, const ClassWeights&) { return text == balanced ? toml_string(text) : "[" + text + "]"; }
template <class Plain>
std::string flag_as_toml(const std::string& text, const Plain&) {
  return text;
}
template <class Value, class Range>
std::string flag_as_toml(const std::string& text, const Value& member, const Range&) {
  return flag_as_toml(text, member);
}
std::string flag_as_toml(const std::string& text, int64_t, const BatchSize&) { return text == automatic ? toml_string(text) : text; }

void apply_flag(Recipe& recipe, const std::string& name, const std::string& text) {
  const std::string flag = "--" + name;
  std::string toml;
  for_each_key(recipe, [&](const Key& key, auto& member, const auto&... range) {
    if (key.name == name) toml = fmt::format("{} = {}", name, flag_as_toml(text, std::as_const(member), range...));
  });
  if (toml.empty()) throw Error(ErrorId::command_line, fmt::format("there is no flag `{}`", flag)).help("`fovea train --help` lists them");
  const Error unreadable(ErrorId::flag_value, fmt::format("`{}` cannot be read as the value of {}", text, flag));
  const TextTable table = [&] {
    try {
      return TextTable::parse(toml, flag);
    } catch (const Error&) {
      throw unreadable;
    }
  }();
  if (table.keys().size() != 1) throw unreadable;
  for_each_key(recipe, Reader{table});
}

std::vector<TensorRule> read_tensors(const TextTable& table) {
  std::vector<TensorRule> rules;
  for (const TextTable& one : table.tables("tensors")) {
    TensorRule rule;
    rule.match = one.string("match");
    rule.file = one.file();
    rule.line = one.line();
    if (one.has("rate_scale")) rule.rate_scale = one.number("rate_scale", {0, 1e6});
    if (one.has("decay")) rule.decay = one.number("decay", {0, 1e6});
    if (one.has("frozen")) rule.frozen = one.boolean("frozen") ? Switch::on : Switch::off;
    if (!rule.rate_scale && !rule.decay && !rule.frozen)
      throw one.error("match", fmt::format("the table for `{}` sets nothing", rule.match), ErrorId::tensor_rules)
          .help("set rate_scale, decay or frozen in it");
    rules.push_back(std::move(rule));
  }
  return rules;
}

std::string tensors_text(const std::vector<TensorRule>& rules) {
  std::string text;
  for (const TensorRule& rule : rules) {
    text += fmt::format("\n[[tensors]]\nmatch = {}\n", toml_string(rule.match));
    if (rule.rate_scale) text += fmt::format("rate_scale = {}\n", Writer()(*rule.rate_scale));
    if (rule.decay) text += fmt::format("decay = {}\n", Writer()(*rule.decay));
    if (rule.frozen) text += fmt::format("frozen = {}\n", Writer()(*rule.frozen));
  }
  return text;
}

// `comment`: by key, what stands behind its value.
std::string text_of(const Recipe& recipe, const std::function<std::string(std::string_view)>& comment) {
  std::string text;
  for_each_key(recipe, [&](const Key& key, const auto& member, const auto&... range) {
    const std::string value = Writer()(member, range...);
    if (value == "[]") return;
    const std::string setting = fmt::format("{} = {}", key.name, value), behind = comment(key.name);
    text += behind.empty() ? setting + "\n" : fmt::format("{:<32} # {}\n", setting, behind);
  });
  return text + tensors_text(recipe.tensors);
}

}  // namespace

UpdateRule Recipe::update_rule() const {
  const float first = static_cast<float>(beta1), second = static_cast<float>(beta2), small = static_cast<float>(epsilon);
  if (optimizer == "adam") return Adam{first, second, small};
  if (optimizer == "adamw") return AdamW{first, second, small};
  if (optimizer == "rmsprop") return RmsProp{static_cast<float>(alpha), small, static_cast<float>(momentum)};
  return Sgd{static_cast<float>(momentum), nesterov == Switch::on ? Sgd::Nesterov::yes : Sgd::Nesterov::no};
}

double Recipe::valid_share() const {
  if (valid == "test") return 0;
  const std::optional<double> share = share_in(valid);
  if (!share) throw Error(ErrorId::bad_value, what_valid_takes(valid)).help(valid_remedy);
  return *share;
}

bool Recipe::validates() const { return valid == "test" || valid_share() > 0; }

const std::vector<RecipeKey>& recipe_keys() {
  static const std::vector<RecipeKey> keys = [] {
    std::vector<RecipeKey> list;
    const Recipe standard;
    for_each_key(standard, [&](const Key& key, const auto& member, const auto&... range) {
      std::string text = Writer()(member, range...);
      std::erase(text, '"');
      if (text == "[]") text.clear();
      list.push_back({std::string(key.name), std::string(key.placeholder), std::string(key.help), text});
    });
    return list;
  }();
  return keys;
}

Recipe read_recipe(const std::filesystem::path& file, const std::map<std::string, std::string>& flags) {
  Recipe recipe;
  bool keep_is_given = flags.contains("keep");
  const std::filesystem::path found = file.empty() ? file : model::find_text(model::shipped_recipes, file.string());
  if (!file.empty()) {
    const TextTable table = TextTable::parse(read_text(found), found.string());
    for_each_key(recipe, Reader{table});
    recipe.tensors = read_tensors(table);
    table.table(comparison_table).ignore();
    table.refuse_unread();
    keep_is_given = keep_is_given || table.has("keep");
    for (const std::string& key : table.keys()) recipe.origin[key] = found.string();
  }
  for (const auto& [name, text] : flags) {
    apply_flag(recipe, name, text);
    recipe.origin[name] = "flag";
  }
  if (recipe.early_stopping > 0 && !keep_is_given) {
    recipe.keep = "best";
    recipe.origin["keep"] = "default with early_stopping";
  }
  check_recipe(recipe, found.string());
  return recipe;
}

void refuse_automatic_batch(const Recipe& recipe) {
  if (recipe.batch == automatic_batch)
    throw Error(ExitCode::usage, "batch = \"auto\" is settled by `fovea train` alone: it depends on the memory that is free")
        .help("give a number, for example --batch 64");
}

std::map<std::string, std::string> recipe_values(const Recipe& recipe) {
  std::map<std::string, std::string> values;
  for_each_key(recipe, [&](const Key& key, const auto& member, const auto&... range) {
    const std::string value = Writer()(member, range...);
    if (value != "[]") values[std::string(key.name)] = value;
  });
  if (!recipe.tensors.empty()) values["tensors"] = tensors_text(recipe.tensors);
  return values;
}

std::string recipe_text(const Recipe& recipe) {
  return text_of(recipe, [](std::string_view) { return std::string(); });
}

std::string config_text(const Recipe& recipe) {
  return text_of(recipe, [&](std::string_view key) {
    const auto found = recipe.origin.find(std::string(key));
    std::string origin = found == recipe.origin.end() ? "default" : found->second;
    std::erase_if(origin, [](char letter) { return static_cast<unsigned char>(letter) < ' ' || letter == '\x7f'; });
    return origin;
  });
}

}  // namespace fovea::train
