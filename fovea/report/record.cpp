#include "fovea/report/record.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "fovea/base/error.h"
#include "fovea/base/file.h"
#include "fovea/report/members.h"

namespace fovea::report {
namespace {

constexpr int64_t schema_version = 1;

std::filesystem::path file_of(const std::filesystem::path& path, std::string_view name) { return is_folder(path) ? path / name : path; }

void check_version(const Members& members) {
  if (const int64_t version = members.integer("schema_version"); version != schema_version)
    throw members.error(fmt::format("the record has schema_version {}, this program reads {}", version, schema_version));
}

// Lines of a text with commas, the place of each column known by its name.
class CommaTable {
 public:
  CommaTable(std::string_view text, std::string file) : text_(text), file_(std::move(file)) { next(); }

  bool next() {
    if (text_.empty()) return false;
    const size_t end = std::min(text_.find('\n'), text_.size());
    fields_ = split(text_.substr(0, end));
    text_.remove_prefix(std::min(end + 1, text_.size()));
    ++line_;
    if (line_ == 1) names_ = fields_;
    if (fields_.size() != names_.size()) throw error(fmt::format("{} values, but {} columns", fields_.size(), names_.size()));
    return true;
  }
  std::string_view field(std::string_view name) const {
    const auto found = std::find(names_.begin(), names_.end(), name);
    if (found == names_.end()) throw error(fmt::format("there is no column `{}`", name));
    return fields_[static_cast<size_t>(found - names_.begin())];
  }
  double number(std::string_view name) const {
    const std::string_view text = field(name);
    double value = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failure != std::errc() || end != text.data() + text.size()) throw error(fmt::format("`{}` is `{}`, not a number", name, text));
    return value;
  }
  Error error(const std::string& message) const {
    return Error(ErrorId::bad_record, message).at(file_, line_).help("name the history.csv that `fovea train` wrote");
  }

 private:
  static std::vector<std::string_view> split(std::string_view line) {
    std::vector<std::string_view> fields;
    for (size_t begin = 0; begin <= line.size();) {
      const size_t end = std::min(line.find(',', begin), line.size());
      fields.push_back(line.substr(begin, end - begin));
      begin = end + 1;
    }
    return fields;
  }

  std::string_view text_;
  std::string file_;
  int line_ = 0;
  std::vector<std::string_view> names_, fields_;
};

}  // namespace

RunRecord read_run(const std::filesystem::path& path) {
  RunRecord record;
  record.file = file_of(path, "result.json").string();
  const Json json = parse_json(read_text(record.file), record.file, 1);
  const Members members(json, record.file);
  check_version(members);
  record.model = members.string("model");
  record.data = members.string("data");
  record.backend = members.string("backend");
  if (members.has("precision") && members.string("precision") != "fp32") record.backend += " " + members.string("precision");
  record.device = members.object("machine").string("device");
  record.commit = members.string("commit");
  record.threads = members.integer("threads");
  record.seed = members.integer("seed");
  record.epochs = members.integer("epochs");
  record.batch = members.integer("batch");
  record.train_seconds = members.number("train_seconds");
  record.images_per_second = members.number("images_per_second");
  record.test_accuracy = members.number("test_accuracy");
  return record;
}

std::vector<HistoryRow> read_history(const std::filesystem::path& path) {
  const std::string file = file_of(path, "history.csv").string();
  const std::string text = read_text(file);
  CommaTable table(text, file);
  std::vector<HistoryRow> rows;
  while (table.next()) {
    HistoryRow row;
    row.epoch = static_cast<int64_t>(table.number("epoch"));
    row.train_accuracy = table.number("train_accuracy");
    if (!table.field("valid_accuracy").empty()) row.valid_accuracy = table.number("valid_accuracy");
    rows.push_back(row);
  }
  if (rows.empty()) throw table.error("the history holds no epoch");
  return rows;
}

std::vector<Measurement> read_speeds(const std::filesystem::path& path) {
  const std::string file = path.string(), text = read_text(file);
  std::vector<Measurement> speeds;
  int line = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const Json json = parse_json(std::string_view(text).substr(begin, end - begin), file, ++line);
    begin = end + 1;
    const Members members(json, file, line), configuration = members.object("configuration");
    check_version(members);
    if (members.string("unit") != "images/s") continue;
    Measurement speed;
    speed.cpu = members.object("machine").string("cpu");
    speed.commit = members.string("commit");
    speed.model = configuration.string("model");
    speed.batch = configuration.integer("batch");
    speed.threads = configuration.integer("threads");
    speed.medians = members.object("median").numbers();
    speeds.push_back(speed);
  }
  return speeds;
}

}  // namespace fovea::report
