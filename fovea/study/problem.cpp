#include "fovea/study/problem.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "fovea/base/error.h"

namespace fovea::study {
namespace {

using Names = std::vector<std::string_view>;

struct Driver {
  std::string_view name;
  Names entries;     // that a descriptor may have
  Names directions;  // those that are taken where none is given
};
const Names conv_entries = {"g", "mb", "ic", "ih", "iw", "oc", "oh", "ow", "kh", "kw", "sh", "sw", "ph", "pw", "dh", "dw"};
const Driver conv = {"conv", conv_entries, {"FWD_D", "BWD_D", "BWD_W"}};
const Driver pool = {"pool", {"mb", "ic", "ih", "iw", "oh", "ow", "kh", "kw", "sh", "sw", "ph", "pw", "dh", "dw"}, {"FWD_D", "BWD_D"}};
const Driver bnorm = {"bnorm", {"mb", "ic", "ih", "iw", "eps"}, {"FWD_D", "BWD_DW"}};
const Driver ip = {"ip", {"mb", "ic", "ih", "iw", "oc"}, {"FWD_D", "BWD_D", "BWD_W"}};
const Driver matmul = {"matmul", {}, {"FWD_D"}};

bool contains(const Names& names, std::string_view name) { return std::find(names.begin(), names.end(), name) != names.end(); }
bool is_digit(char letter) { return letter >= '0' && letter <= '9'; }
bool is_lower(char letter) { return letter >= 'a' && letter <= 'z'; }

// One axis of a window that slides over an image.
struct Axis {
  int64_t in = 1, window = 1, stride = 1, dilation = 1, before = 0, after = 0;
};

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  std::vector<OpCase> operator()() {
    split();
    if (is_digit(descriptor_.front()) && descriptor_.find(':') != std::string_view::npos)
      read_matrices();
    else
      read_entries();
    choose_driver();
    if (directions_.empty()) directions_ = driver_->directions;
    std::vector<OpCase> cases;
    for (const std::string_view direction : directions_) {
      OpCase added;
      added.op = op(direction);
      added.name = fmt::format("{}/{}", name_.empty() ? descriptor_ : name_, name_of(added.op));
      cases.push_back(std::move(added));
    }
    return cases;
  }

 private:
  Error error(const std::string& what) const { return Error(ErrorId::problem_text, fmt::format("problem `{}`: {}", text_, what)); }

  void split() {
    for (size_t begin = 0; begin < text_.size();) {
      const size_t end = std::min(text_.find(' ', begin), text_.size());
      const std::string_view word = text_.substr(begin, end - begin);
      begin = end + 1;
      if (word.empty()) continue;
      if (!descriptor_.empty()) throw error(fmt::format("`{}` stands behind the descriptor `{}`", word, descriptor_));
      if (word.starts_with("--"))
        read_setting(word.substr(2));
      else
        descriptor_ = word;
    }
    if (descriptor_.empty()) throw error("there is no descriptor").help("such as mb32ic64ih56oc64kh3ph1");
  }

  void read_setting(std::string_view setting) {
    for (const Driver* driver : {&conv, &pool, &bnorm, &ip, &matmul})
      if (setting == driver->name) {
        driver_ = driver;
        return;
      }
    if (setting.starts_with("dir=")) return read_directions(setting.substr(4));
    if (setting.starts_with("alg=")) {
      algorithm_ = setting.substr(4);
      if (!contains({"max", "avg_np", "avg_p"}, algorithm_))
        throw error(fmt::format("there is no --alg={}", algorithm_)).help("there are max, avg_np and avg_p, of pools");
      return;
    }
    if (setting.starts_with("mb=")) {
      std::string_view rest = setting.substr(3);
      batch_ = number("--mb", rest, 0);
      if (!rest.empty()) throw error(fmt::format("`{}` stands behind the number of --mb", rest));
      return;
    }
    throw error(fmt::format("there is no setting `--{}`", setting))
        .help("there are --conv, --pool, --bnorm, --ip, --matmul, --dir=, --alg= and --mb=; all is single precision");
  }

  void read_directions(std::string_view list) {
    for (;;) {
      const std::string_view one = list.substr(0, list.find(','));
      if (one == "FWD_B" || one == "BWD_WB")
        throw error(fmt::format("{} has a bias, which is an operator of its own here", one)).help("ask for FWD_D or BWD_W");
      if (!contains({"FWD_D", "FWD_I", "BWD_D", "BWD_W", "BWD_DW"}, one))
        throw error(fmt::format("there is no direction `{}`", one)).help("there are FWD_D, FWD_I, BWD_D, BWD_W and BWD_DW");
      directions_.push_back(one);
      if (one.size() == list.size()) return;
      list.remove_prefix(one.size() + 1);
    }
  }

  // Takes the number that `rest` begins with.
  int64_t number(std::string_view entry, std::string_view& rest, int64_t least) const {
    int64_t value = 0;
    const auto [end, failure] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (end == rest.data()) throw error(fmt::format("`{}` has no number", entry));
    if (failure != std::errc() || value < least || value > INT32_MAX)
      throw error(
          fmt::format("`{}` is {}, but can be {} to {}", entry, rest.substr(0, static_cast<size_t>(end - rest.data())), least, INT32_MAX));
    rest.remove_prefix(static_cast<size_t>(end - rest.data()));
    return value;
  }

  void read_name(std::string_view rest) {
    if (rest.starts_with('"')) rest.remove_prefix(1);
    if (rest.ends_with('"')) rest.remove_suffix(1);
    name_ = rest;
  }

  void read_entries() {
    for (std::string_view rest = descriptor_; !rest.empty();) {
      if (rest.front() == '_') {
        rest.remove_prefix(1);
        continue;
      }
      if (rest.front() == 'n') return read_name(rest.substr(1));
      const std::string_view entry =
          rest.substr(0, static_cast<size_t>(std::find_if_not(rest.begin(), rest.end(), is_lower) - rest.begin()));
      if (entry != "eps" && !contains(conv_entries, entry))
        throw error(fmt::format("`{}` is no entry", entry.empty() ? rest : entry))
            .help(fmt::format("there are {}, eps, and n for a name; images have no depth here", fmt::join(conv_entries, ", ")));
      if (entry == "eps" ? epsilon_.has_value() : values_.contains(entry)) throw error(fmt::format("`{}` is given twice", entry));
      rest.remove_prefix(entry.size());
      if (entry == "eps")
        read_epsilon(rest);
      else
        values_[entry] = number(entry, rest, entry[0] == 'p' || entry[0] == 'd' ? 0 : 1);
    }
  }

  void read_epsilon(std::string_view& rest) {
    float value = 0;
    const auto [end, failure] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (failure != std::errc() || !(value > 0)) throw error("`eps` has no number above 0");
    epsilon_ = value;
    rest.remove_prefix(static_cast<size_t>(end - rest.data()));
  }

  // MxK:KxN
  void read_matrices() {
    std::string_view rest = descriptor_;
    const auto next = [&](std::string_view which, char behind) {
      const int64_t size = number(which, rest, 1);
      if (behind != '\0' && !rest.starts_with(behind))
        throw error(fmt::format("`{}` does not follow on {} of the product", behind, which)).help("a matrix product is MxK:KxN");
      if (behind != '\0') rest.remove_prefix(1);
      return size;
    };
    product_.n = next("M", 'x');
    product_.c = next("K", ':');
    const int64_t k = next("K", 'x');
    product_.k = next("N", '\0');
    if (k != product_.c) throw error(fmt::format("the inner sizes are {} and {}, but must agree", product_.c, k));
    if (rest.starts_with('n')) return read_name(rest.substr(1));
    if (!rest.empty())
      throw error(fmt::format("`{}` stands behind the product", rest)).help("a matrix product is MxK:KxN, of two matrices");
  }

  void choose_driver() {
    const bool is_product = product_.n > 0;
    if (driver_ == nullptr) {
      const bool has_window = values_.contains("kh") || values_.contains("kw"), has_outputs = values_.contains("oc");
      driver_ = is_product ? &matmul : has_window ? (has_outputs ? &conv : &pool) : (has_outputs ? &ip : &bnorm);
    }
    if (is_product != (driver_ == &matmul)) throw error(fmt::format("`{}` is no descriptor of --{}", descriptor_, driver_->name));
    for (const auto& [entry, value] : values_)
      if (!contains(driver_->entries, entry)) throw unfitting(entry);
    if (epsilon_ && driver_ != &bnorm) throw unfitting("eps");
    if (!algorithm_.empty() && driver_ != &pool) throw error(fmt::format("--{} has no --alg", driver_->name));
    if (batch_ > 0) values_["mb"] = product_.n = batch_;
  }
  Error unfitting(std::string_view entry) const {
    return error(fmt::format("--{} has no entry `{}`", driver_->name, entry))
        .help(fmt::format("it has {}", fmt::join(driver_->entries, ", ")));
  }

  std::optional<int64_t> given(std::string_view entry) const {
    const auto found = values_.find(entry);
    return found == values_.end() ? std::nullopt : std::optional(found->second);
  }
  int64_t required(std::string_view entry) const {
    if (const std::optional<int64_t> value = given(entry)) return *value;
    throw error(fmt::format("--{} needs the entry `{}`", driver_->name, entry));
  }
  // A width that is left out is the height; where there is no height at all, the image is a row.
  std::optional<int64_t> given(char what, char axis) const {
    const std::string own = {what, axis}, height = {what, 'h'};
    return values_.contains(own) || axis == 'h' ? given(own) : given("ih") ? given(height) : std::nullopt;
  }

  Axis axis(char letter) const {
    if (letter == 'h' && !given("ih") && given("iw")) return {};
    Axis axis;
    const auto value = [&](char what, int64_t otherwise) { return given(what, letter).value_or(otherwise); };
    const std::string size = {'i', letter}, window = {'k', letter};
    axis.in = given('i', letter) ? *given('i', letter) : required(size);
    axis.window = given('k', letter) ? *given('k', letter) : required(window);
    axis.stride = value('s', 1);
    axis.dilation = value('d', 0) + 1;
    const std::optional<int64_t> out = given('o', letter), pad = given('p', letter);
    const int64_t span = (axis.window - 1) * axis.dilation + 1;
    if (!out) {
      axis.before = axis.after = pad.value_or(0);
      return axis;
    }
    const int64_t missing = std::max<int64_t>(0, (*out - 1) * axis.stride + span - axis.in);
    axis.before = pad.value_or(missing / 2);
    axis.after = std::max<int64_t>(0, missing - axis.before);
    if (const int64_t follows = (axis.in + axis.before + axis.after - span) / axis.stride + 1; follows != *out)
      throw error(fmt::format("`o{}` is {}, but {} follows from the input, the window, the stride and the padding", letter, *out, follows));
    return axis;
  }

  Window window(const Axis& h, const Axis& w) const {
    return {.r = h.window,
            .s = w.window,
            .stride_h = h.stride,
            .stride_w = w.stride,
            .pad_top = h.before,
            .pad_bottom = h.after,
            .pad_left = w.before,
            .pad_right = w.after,
            .dilation_h = h.dilation,
            .dilation_w = w.dilation};
  }

  template <class Shape>
  void check(const Shape& shape) const try {
    validate(shape);
  } catch (const Error& reason) {
    throw error(reason.message());
  }

  int64_t batch() const { return given("mb").value_or(2); }
  int64_t pixels() const { return given('i', 'h').value_or(1) * given('i', 'w').value_or(1); }

  Op op(std::string_view direction) const {
    if (driver_ == &conv) return conv_op(direction);
    if (driver_ == &pool) return pool_op(direction);
    if (driver_ == &bnorm) return bnorm_op(direction);
    return linear_op(direction);
  }
  Error no_direction(std::string_view direction) const {
    return error(fmt::format("--{} has no direction {}", driver_->name, direction))
        .help(fmt::format("it has {}", fmt::join(driver_->directions, ", ")));
  }

  Op conv_op(std::string_view direction) const {
    const Axis h = axis('h'), w = axis('w');
    const Conv2dShape shape = {batch(), h.in, w.in, required("ic"), required("oc"), window(h, w), given("g").value_or(1)};
    check(shape);
    if (direction.starts_with("FWD")) return Conv2dForward{shape, {}};
    if (direction == "BWD_D") return Conv2dBackwardData{shape, {}, {}};
    if (direction == "BWD_W") return Conv2dBackwardFilter{shape, {}, {}};
    throw no_direction(direction);
  }

  Op pool_op(std::string_view direction) const {
    const Axis h = axis('h'), w = axis('w');
    const PoolShape shape = {batch(), h.in, w.in, required("ic"), window(h, w)};
    check(shape);
    const bool forward = direction.starts_with("FWD");
    if (!forward && direction != "BWD_D") throw no_direction(direction);
    if (algorithm_.empty() || algorithm_ == "max") return forward ? Op(MaxPoolForward{shape, {}}) : MaxPoolBackward{shape, {}, {}};
    const CountPadding count = algorithm_ == "avg_p" ? CountPadding::yes : CountPadding::no;
    return forward ? Op(AvgPoolForward{shape, count, {}}) : AvgPoolBackward{shape, count, {}, {}};
  }

  Op bnorm_op(std::string_view direction) const {
    const int64_t rows = batch() * pixels(), c = required("ic");
    const float epsilon = epsilon_.value_or(1.0f / 16);
    if (direction == "FWD_D") return BatchNormForward{rows, c, epsilon, {}};
    if (direction == "FWD_I") return BatchNormInference{rows, c, epsilon, {}};
    if (direction == "BWD_DW") return BatchNormBackward{.rows = rows, .c = c, .epsilon = epsilon, .types = {}};
    throw no_direction(direction);
  }

  Op linear_op(std::string_view direction) const {
    const LinearShape shape = driver_ == &matmul ? product_ : LinearShape{batch(), required("ic") * pixels(), required("oc")};
    if (direction.starts_with("FWD")) return LinearForward{shape, {}};
    if (direction == "BWD_D" && driver_ == &ip) return LinearBackwardData{shape, {}, {}};
    if (direction == "BWD_W" && driver_ == &ip) return LinearBackwardFilter{shape, {}, {}};
    throw no_direction(direction);
  }

  std::string_view text_, descriptor_, name_, algorithm_;
  const Driver* driver_ = nullptr;
  Names directions_;
  std::map<std::string_view, int64_t> values_;
  std::optional<float> epsilon_;
  LinearShape product_ = {0, 0, 0};
  int64_t batch_ = 0;  // 0: the descriptor's
};

std::string axes(const Window& window) {
  return fmt::format("kh{}kw{}sh{}sw{}ph{}pw{}dh{}dw{}", window.r, window.s, window.stride_h, window.stride_w, window.pad_top,
                     window.pad_left, window.dilation_h - 1, window.dilation_w - 1);
}

struct Printer {
  static std::string text(std::string_view direction, const Conv2dShape& s) {
    return fmt::format("--conv --dir={} g{}mb{}ic{}ih{}iw{}oc{}oh{}ow{}{}", direction, s.groups, s.n, s.c, s.h, s.w, s.k, s.p(), s.q(),
                       axes(s.window));
  }
  static std::string text(std::string_view direction, const PoolShape& s, std::string_view algorithm) {
    return fmt::format("--pool --dir={} --alg={} mb{}ic{}ih{}iw{}oh{}ow{}{}", direction, algorithm, s.n, s.c, s.h, s.w, s.p(), s.q(),
                       axes(s.window));
  }
  static std::string text(std::string_view direction, const LinearShape& s) {
    return fmt::format("--ip --dir={} mb{}ic{}ih1iw1oc{}", direction, s.n, s.c, s.k);
  }
  template <class Norm>
  static std::string norm(std::string_view direction, const Norm& o) {
    return fmt::format("--bnorm --dir={} mb{}ic{}ih1iw1eps{}", direction, o.rows, o.c, o.epsilon);
  }
  static std::string_view name(CountPadding count) { return count == CountPadding::yes ? "avg_p" : "avg_np"; }

  std::string operator()(const Conv2dForward& o) const { return text("FWD_D", o.shape); }
  std::string operator()(const Conv2dBackwardData& o) const { return text("BWD_D", o.shape); }
  std::string operator()(const Conv2dBackwardFilter& o) const { return text("BWD_W", o.shape); }
  std::string operator()(const MaxPoolForward& o) const { return text("FWD_D", o.shape, "max"); }
  std::string operator()(const MaxPoolBackward& o) const { return text("BWD_D", o.shape, "max"); }
  std::string operator()(const AvgPoolForward& o) const { return text("FWD_D", o.shape, name(o.count_padding)); }
  std::string operator()(const AvgPoolBackward& o) const { return text("BWD_D", o.shape, name(o.count_padding)); }
  std::string operator()(const LinearForward& o) const { return text("FWD_D", o.shape); }
  std::string operator()(const LinearBackwardData& o) const { return text("BWD_D", o.shape); }
  std::string operator()(const LinearBackwardFilter& o) const { return text("BWD_W", o.shape); }
  std::string operator()(const BatchNormForward& o) const { return norm("FWD_D", o); }
  std::string operator()(const BatchNormInference& o) const { return norm("FWD_I", o); }
  std::string operator()(const BatchNormBackward& o) const { return norm("BWD_DW", o); }
  std::string operator()(const auto&) const { return ""; }
};

}  // namespace

std::vector<OpCase> parse_problem(std::string_view text) { return Parser(text)(); }

bool looks_like_problem(std::string_view text) {
  if (text.starts_with("--")) return true;
  if (!text.empty() && is_digit(text.front())) return text.find(':') != std::string_view::npos;
  for (const std::string_view entry : conv_entries)
    if (text.starts_with(entry) && text.size() > entry.size() && is_digit(text[entry.size()])) return true;
  return false;
}

std::string problem_of(const Op& op) { return std::visit(Printer(), op); }

}  // namespace fovea::study
