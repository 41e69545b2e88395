// Records read back, and what is said of files that are none.
#include "fovea/report/record.h"

#include <fmt/format.h>

#include "tests/report/run_files.h"

namespace fovea::report {
namespace {

constexpr std::string_view history =
    "epoch,learning_rate,train_loss,train_accuracy,valid_loss,valid_accuracy,seconds,images_per_second,data_share\n"
    "1,0.01,0.9,0.75,0.5,0.85,1.5,4000.0,0.01\n"
    "2,0.01,0.4,0.875,,,1.5,4000.0,0.01\n";

TEST(ReadRun, TakesEveryMember) {
  const RunFiles files;
  const RunRecord run = read_run(files.plant("result.json", sample_result().dump(2)));
  EXPECT_EQ(run.file, (files.path() / "result.json").string());
  EXPECT_EQ(run.model, "lenet5");
  EXPECT_EQ(run.data, "digits (synthetic, seed 1)");
  EXPECT_EQ(run.backend, "reference");
  EXPECT_EQ(run.device, "a CPU");
  EXPECT_EQ(run.commit, "0123abc");
  EXPECT_EQ(run.threads, 1);
  EXPECT_EQ(run.seed, 1);
  EXPECT_EQ(run.epochs, 5);
  EXPECT_EQ(run.batch, 64);
  EXPECT_EQ(run.train_seconds, 1234.56);
  EXPECT_EQ(run.images_per_second, 1500.4);
  EXPECT_EQ(run.test_accuracy, 0.98765);
}

TEST(ReadRun, NamesAPrecisionThatIsNotTheUsualOne) {
  const RunFiles files;
  nlohmann::json json = sample_result();
  for (const auto& [precision, backend] : {std::pair{"fp32", "reference"}, {"bf16", "reference bf16"}}) {
    json["precision"] = precision;
    EXPECT_EQ(read_run(files.plant("result.json", json.dump())).backend, backend);
  }
}

TEST(ReadRun, TakesTheFolderOfARun) {
  const RunFiles files;
  files.plant("result.json", sample_result().dump());
  EXPECT_EQ(read_run(files.path()).model, "lenet5");
}

TEST(ReadRun, RefusesARecordThatLacksAKey) {
  const RunFiles files;
  const nlohmann::json sample = sample_result();
  for (const auto& [key, value] : sample.items()) {
    nlohmann::json json = sample;
    json.erase(key);
    const std::string text = error_text([&] { read_run(files.plant("result.json", json.dump())); });
    EXPECT_NE(text.find("lacks `" + key + "`"), std::string::npos) << text;
    EXPECT_NE(text.find((files.path() / "result.json").string()), std::string::npos) << text;
  }
}

TEST(ReadRun, RefusesAValueOfAnotherKind) {
  const RunFiles files;
  const nlohmann::json sample = sample_result();
  for (const auto& [key, value] : sample.items()) {
    nlohmann::json json = sample;
    json[key] = nullptr;
    error_text([&] { read_run(files.plant("result.json", json.dump())); });
  }
  nlohmann::json json = sample;
  json["epochs"] = 1.5;
  const std::string text = error_text([&] { read_run(files.plant("result.json", json.dump())); });
  EXPECT_NE(text.find("`epochs` is 1.5, not an integer"), std::string::npos) << text;
}

TEST(ReadRun, RefusesAnotherVersionOfTheSchema) {
  const RunFiles files;
  nlohmann::json json = sample_result();
  json["schema_version"] = 2;
  const std::string text = error_text([&] { read_run(files.plant("result.json", json.dump())); });
  EXPECT_NE(text.find("schema_version 2, this program reads 1"), std::string::npos) << text;
}

TEST(ReadRun, NamesTheLineOfBrokenJson) {
  const RunFiles files;
  const std::string file = (files.path() / "result.json").string();
  std::string text = error_text([&] { read_run(files.plant("result.json", "{\n\"schema_version\": 1,\n\"model\": lenet5\n}\n")); });
  EXPECT_NE(text.find(file + ":3"), std::string::npos) << text;
  text = error_text([&] { read_run(files.plant("result.json", "{\n\"schema_version\": 1")); });
  EXPECT_NE(text.find("ends before its JSON does"), std::string::npos) << text;
  EXPECT_NE(text.find(file + ":2"), std::string::npos) << text;
  text = error_text([&] { read_run(files.plant("result.json", "")); });
  EXPECT_NE(text.find(file + ":1"), std::string::npos) << text;
  text = error_text([&] { read_run(files.plant("result.json", "[1, 2]")); });
  EXPECT_NE(text.find("the record is array, not an object"), std::string::npos) << text;
}

TEST(ReadRun, NamesAFileThatIsNotThere) {
  const RunFiles files;
  const std::string text = error_text([&] { read_run(files.path() / "none.json"); });
  EXPECT_NE(text.find("none.json"), std::string::npos) << text;
}

TEST(ReadHistory, TakesEveryRow) {
  const RunFiles files;
  files.plant("history.csv", history);
  const std::vector<HistoryRow> rows = read_history(files.path());
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].epoch, 1);
  EXPECT_EQ(rows[0].train_accuracy, 0.75);
  EXPECT_EQ(rows[0].valid_accuracy, 0.85);
  EXPECT_EQ(rows[1].epoch, 2);
  EXPECT_EQ(rows[1].train_accuracy, 0.875);
  EXPECT_EQ(rows[1].valid_accuracy, std::nullopt);
}

TEST(ReadHistory, NamesTheLineOfAFault) {
  const RunFiles files;
  const auto fault = [&](std::string text) { return error_text([&] { read_history(files.plant("history.csv", text)); }); };
  EXPECT_NE(fault("epoch,train_accuracy,valid_accuracy\n1,0.5\n").find("history.csv:2"), std::string::npos);
  EXPECT_NE(fault("epoch,train_accuracy,valid_accuracy\n1,much,\n").find("`train_accuracy` is `much`"), std::string::npos);
  EXPECT_NE(fault("epoch,valid_accuracy\n1,0.5\n").find("no column `train_accuracy`"), std::string::npos);
  EXPECT_NE(fault("epoch,train_accuracy,valid_accuracy\n").find("no epoch"), std::string::npos);
  EXPECT_NE(fault("").find("no epoch"), std::string::npos);
}

constexpr std::string_view speed =
    R"({"schema_version": 1, "unit": "images/s", "median": {"fovea": 12.5, "PyTorch": 10},)"
    R"( "configuration": {"model": "lenet5", "batch": 64, "threads": 1}, "machine": {"cpu": "a CPU"}, "commit": "0123abc"})";
constexpr std::string_view other = R"({"schema_version": 1, "unit": "s", "configuration": {}})";

TEST(ReadSpeeds, TakesTheSpeedsAlone) {
  const RunFiles files;
  const std::vector<Measurement> speeds = read_speeds(files.plant("a.jsonl", fmt::format("{}\n{}\n{}\n", other, speed, speed)));
  ASSERT_EQ(speeds.size(), 2U);
  EXPECT_EQ(speeds[0].cpu, "a CPU");
  EXPECT_EQ(speeds[0].commit, "0123abc");
  EXPECT_EQ(speeds[0].model, "lenet5");
  EXPECT_EQ(speeds[0].batch, 64);
  EXPECT_EQ(speeds[0].threads, 1);
  EXPECT_EQ(speeds[0].medians, (std::vector<std::pair<std::string, double>>{{"fovea", 12.5}, {"PyTorch", 10}}));
}

TEST(ReadSpeeds, NamesTheLineOfAFault) {
  const RunFiles files;
  std::string text = error_text([&] { read_speeds(files.plant("a.jsonl", fmt::format("{}\n{{\n", speed))); });
  EXPECT_NE(text.find("a.jsonl:2"), std::string::npos) << text;
  text = error_text([&] { read_speeds(files.plant("a.jsonl", fmt::format("{}\n{}\n{{\"unit\": 1}}", speed, other))); });
  EXPECT_NE(text.find("a.jsonl:3"), std::string::npos) << text;
  EXPECT_NE(text.find("lacks `configuration`"), std::string::npos) << text;
}

}  // namespace
}  // namespace fovea::report
