#include "fovea/report/comparison.h"

#include <fmt/format.h>

#include <set>

#include "fovea/base/file.h"
#include "fovea/report/columns.h"
#include "fovea/report/members.h"

namespace fovea::report {
namespace {

constexpr std::string_view schema = "fovea.comparison/1";

std::string text_of(const Json& value) {
  if (value.is_null()) return std::string(unknown_entry);
  if (value.is_string()) return value.get<std::string>();
  if (value.is_array()) {
    std::string text;
    for (const Json& element : value) text += (text.empty() ? "" : ", ") + text_of(element);
    return text.empty() ? "none" : text;
  }
  if (value.is_number_integer() && std::abs(value.get<double>()) < 1e15) return fmt::format("{}", value.get<int64_t>());
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void add_entries(Entries& entries, const Json& object, const std::string& prefix) {
  for (const auto& [key, value] : object.items()) {
    if (value.is_object())
      add_entries(entries, value, prefix + key + ".");
    else
      entries.emplace_back(prefix + key, text_of(value));
  }
}

Entries entries_of(const Members& members, const char* key) {
  Entries entries;
  if (members.knows(key)) {
    members.object(key);  // or an error
    add_entries(entries, members.value(key), "");
  }
  return entries;
}

std::vector<std::string> texts(const Members& members, const char* key) {
  std::vector<std::string> all;
  for (const Json& element : members.elements(key)) all.push_back(text_of(element));
  return all;
}

Spread spread(const Members& row, const char* key) {
  if (!row.knows(key)) return {};
  const Members members = row.object(key);
  return {members.known_number("median"), members.known_number("q1"),     members.known_number("q3"), members.known_number("low"),
          members.known_number("high"),   members.known_integer("count"), members.text("unit"),       members.text("reason")};
}

Score score(const Members& row, const char* key) {
  if (!row.knows(key)) return {};
  const Members members = row.object(key);
  return {members.known_number("mean"), members.known_number("std"), members.known_integer("count"), members.text("reason")};
}

Energy energy(const Members& row) {
  if (!row.knows("energy")) return {};
  const Members members = row.object("energy");
  Energy energy;
  energy.gross_per_image = members.known_number("gross_joules_per_image");
  energy.net_per_image = members.known_number("net_joules_per_image");
  energy.gross = members.known_number("gross_joules");
  energy.net = members.known_number("net_joules");
  energy.cpu = members.known_number("cpu_joules");
  energy.dram = members.known_number("dram_joules");
  energy.gpu = members.known_number("gpu_joules");
  energy.coverage = members.known_number("coverage");
  energy.samples = members.known_integer("samples");
  energy.method = members.text("method");
  energy.reason = members.text("reason");
  return energy;
}

Speedup speedup(const Members& row, const char* key) {
  if (!row.knows(key)) return {};
  const Members members = row.object(key);
  return {members.text("against"),       members.text("verdict"),     members.text("reason"),
          members.known_number("ratio"), members.known_number("low"), members.known_number("high")};
}

Roof roof(const Members& row) {
  if (!row.knows("roof")) return {};
  const Members members = row.object("roof");
  return {members.known_number("fraction"),
          members.known_number("flops_per_s"),
          members.known_number("roof_flops_per_s"),
          members.text("bound_by"),
          members.text("source"),
          members.text("reason")};
}

EpochFigures epoch(const Members& members) {
  return {members.integer("epoch"),
          members.known_number("seconds"),
          members.known_number("t"),
          members.known_number("train_loss"),
          members.known_number("train_accuracy"),
          members.known_number("valid_loss"),
          members.known_number("valid_accuracy")};
}

Moment moment(const Members& members) {
  return {members.number("t"),
          members.known_number("cpu"),
          members.known_number("machine_cpu"),
          members.known_number("gpu"),
          members.known_number("host_bytes"),
          members.known_number("device_bytes"),
          members.known_number("cpu_watts"),
          members.known_number("gpu_watts")};
}

std::vector<std::vector<int64_t>> confusion(const Members& run) {
  std::vector<std::vector<int64_t>> counts;
  for (const Json& line : run.elements("confusion")) {
    std::vector<int64_t> row;
    if (line.is_array())
      for (const Json& count : line)
        if (count.is_number_integer()) row.push_back(count.get<int64_t>());
    counts.push_back(row);
  }
  for (const std::vector<int64_t>& row : counts)
    if (row.size() != counts.size()) throw run.error("`confusion` is no square of integers");
  return counts;
}

ComparedRun compared_run(const Members& members) {
  ComparedRun run;
  run.seed = members.known_integer("seed").value_or(0);
  run.seconds = members.known_number("seconds");
  for (const Json& step : members.elements("step_ms"))
    if (step.is_number()) run.step_ms.push_back(step.get<double>());
  for (const Json& element : members.elements("slices")) {
    const Members slice = members.member(element);
    run.slices.push_back({slice.integer("round"), slice.known_number("images"), slice.known_number("seconds")});
  }
  for (const Json& element : members.elements("epochs")) run.epochs.push_back(epoch(members.member(element)));
  run.confusion = confusion(members);
  for (const Json& element : members.elements("samples")) run.moments.push_back(moment(members.member(element)));
  return run;
}

Status status(const Members& row) {
  const std::string text = row.string("status");
  for (const Status status : {Status::ran, Status::refused, Status::absent})
    if (text == name_of(status)) return status;
  throw row.error(fmt::format("`status` is `{}`, none of `ran`, `refused`, `absent`", text));
}

ComparedRow compared_row(const Members& members) {
  ComparedRow row;
  row.id = members.string("id");
  row.backend = members.string("backend");
  row.device = members.text("device");
  row.precision = members.text("precision");
  row.reason = members.text("reason");
  row.threads = members.known_integer("threads");
  row.batch = members.known_integer("batch");
  if (members.knows("providers"))
    for (const auto& [name, steps] : members.object("providers").numbers()) row.providers.emplace_back(name, static_cast<int64_t>(steps));
  row.status = status(members);
  row.images_per_second = spread(members, "images_per_second");
  row.ms_per_step = spread(members, "ms_per_step");
  row.s_per_epoch = spread(members, "s_per_epoch");
  row.time_to_target = spread(members, "time_to_target_s");
  row.train_accuracy = score(members, "train_accuracy");
  row.valid_accuracy = score(members, "valid_accuracy");
  row.test_accuracy = score(members, "test_accuracy");
  row.peak_host_bytes = members.known_number("peak_host_bytes");
  row.peak_device_bytes = members.known_number("peak_device_bytes");
  row.predicted_bytes = members.known_number("predicted_bytes");
  row.peak_host_reason = members.text("peak_host_bytes_reason");
  row.peak_device_reason = members.text("peak_device_bytes_reason");
  row.predicted_reason = members.text("predicted_bytes_reason");
  row.energy = energy(members);
  row.speedup = speedup(members, "speedup");
  row.against_fastest = speedup(members, "against_fastest");
  row.roof = roof(members);
  for (const Json& element : members.elements("runs")) row.runs.push_back(compared_run(members.member(element)));
  return row;
}

using Text = std::string (*)(const ComparedRow&);
constexpr Text settings[] = {
    [](const ComparedRow& row) {
      return row.threads ? fmt::format("{} thread{}", *row.threads, *row.threads == 1 ? "" : "s") : std::string();
    },
    [](const ComparedRow& row) { return row.precision; },
    [](const ComparedRow& row) { return row.batch ? fmt::format("batch {}", grouped(static_cast<double>(*row.batch), 0)) : std::string(); },
};

// The backend, and whatever else differs; the id too, where that does not tell the rows apart.
void label(std::vector<ComparedRow>& rows) {
  std::set<std::string> labels;
  for (ComparedRow& row : rows) {
    row.label = row.backend;
    for (const Text text : settings) {
      std::set<std::string> texts;
      for (const ComparedRow& other : rows)
        if (other.status != Status::absent) texts.insert(text(other));
      if (texts.size() > 1 && !text(row).empty()) row.label += ", " + text(row);
    }
    if (!labels.insert(row.label).second) row.label = fmt::format("{} ({})", row.label, row.id);
  }
}

void read_question(const Members& members, Comparison& comparison) {
  comparison.question = entries_of(members, "question");
  for (auto& [key, value] : comparison.question)
    if (value == unknown_entry) value = "not set";
  if (!members.knows("question")) return;
  const Members question = members.object("question");
  comparison.train_images = question.known_integer("train_images");
  comparison.valid_images = question.known_integer("valid_images");
  comparison.test_images = question.known_integer("test_images");
  comparison.epochs = question.known_integer("epochs");
  comparison.steps = question.known_integer("steps");
  comparison.target_accuracy = question.known_number("target_accuracy");
  comparison.mode = question.text("mode");
  for (const Json& seed : question.elements("seeds"))
    if (seed.is_number_integer()) comparison.seeds.push_back(seed.get<int64_t>());
  if (question.knows("classes") && question.value("classes").is_array()) comparison.classes = texts(question, "classes");
}

void read_idle(const Members& members, Comparison& comparison) {
  if (!members.knows("idle")) return;
  const Members idle = members.object("idle");
  comparison.idle_cpu_watts = idle.known_number("cpu_watts");
  comparison.idle_gpu_watts = idle.known_number("gpu_watts");
  comparison.idle_reason = idle.text("reason");
}

}  // namespace

Comparison read_comparison(const std::filesystem::path& path) {
  const std::string file = (is_folder(path) ? path / "result.json" : path).string();
  const Json json = parse_json(read_file(file), file, 1);
  const Members members(json, file);
  if (const std::string found = members.text("schema"); found != schema)
    throw members.error(found.empty() ? "the record is not that of a comparison: it lacks `schema`"
                                      : fmt::format("the record has the schema `{}`, this program reads `{}`", found, schema));
  Comparison comparison;
  comparison.title = members.string("title");
  comparison.date = members.text("date");
  comparison.version = members.text("version");
  comparison.commit = members.text("commit");
  comparison.statistics = members.text("statistics");
  comparison.interrupted = members.knows("interrupted") && members.value("interrupted") == true;
  comparison.command = texts(members, "command");
  comparison.notes = texts(members, "notes");
  comparison.environment = entries_of(members, "environment");
  read_question(members, comparison);
  read_idle(members, comparison);
  for (const Json& element : members.elements("rows")) comparison.rows.push_back(compared_row(members.member(element)));
  if (comparison.rows.empty()) throw members.error("the comparison has no rows");
  label(comparison.rows);
  return comparison;
}

const ComparedRow* find_row(const Comparison& comparison, const std::string& id) {
  for (const ComparedRow& row : comparison.rows)
    if (row.id == id) return &row;
  return nullptr;
}

bool is_on_gpu(const ComparedRow& row) { return row.status == Status::ran && !row.threads; }  // a GPU has no threads

const char* name_of(Status status) {
  switch (status) {
    case Status::refused:
      return "refused";
    case Status::absent:
      return "absent";
    default:
      return "ran";
  }
}

}  // namespace fovea::report
