// The same data for other programs: every line whole, every value there, every name its own.
#include "fovea/report/tidy.h"

#include <algorithm>

#include "tests/report/comparison_file.h"

namespace fovea::report {
namespace {

using Json = nlohmann::ordered_json;

std::vector<std::vector<std::string>> parse(const std::string& text) {  // RFC 4180
  std::vector<std::vector<std::string>> lines;
  std::vector<std::string> fields = {""};
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char letter = text[i];
    if (letter == '"') {
      if (quoted && i + 1 < text.size() && text[i + 1] == '"')
        fields.back() += text[++i];
      else
        quoted = !quoted;
    } else if (letter == ',' && !quoted) {
      fields.emplace_back();
    } else if (letter == '\n' && !quoted) {
      lines.push_back(std::exchange(fields, {""}));
    } else {
      fields.back() += letter;
    }
  }
  EXPECT_EQ(fields, std::vector<std::string>{""});
  return lines;
}

TEST(TidyCsv, HasAsManyFieldsInEveryLine) {
  Json json = sample_comparison();
  json["rows"][0]["backend"] = "a,\"b\"\nc";
  const auto lines = parse(tidy_csv(comparison_of(json)));
  ASSERT_EQ(lines[0].size(), 15U);
  for (const auto& line : lines) ASSERT_EQ(line.size(), lines[0].size()) << line[0];
  EXPECT_EQ(lines[1][2], "a,\"b\"\nc");
}

TEST(TidyCsv, HoldsValuesOfRowsAndOfRuns) {
  const std::string text = tidy_csv(comparison_of(sample_comparison()));
  const std::string row = "\nopenmp-t1-fp32-b64,ran,openmp,Example CPU,1,fp32,64,";
  EXPECT_NE(text.find(row + "row,,,images_per_second,median,images/s,7900,\n"), std::string::npos);
  EXPECT_NE(text.find(row + "row,,,speedup,ratio,,1.881,\n"), std::string::npos);
  EXPECT_NE(text.find(row + "epoch,2,6,valid_accuracy,value,share,0.9"), std::string::npos);
  EXPECT_NE(text.find(row + "true/predicted,1,4/9,confusion,value,images,1,\n"), std::string::npos);
  EXPECT_NE(text.find("images_per_second,median,images/s,,\"needs 19.5 GiB, but"), std::string::npos);
}

TEST(TidyCsv, HoldsWhatIsHeldAgainstTheFastest) {
  Json json = sample_comparison();
  EXPECT_EQ(tidy_csv(comparison_of(json)).find("against_fastest"), std::string::npos) << "older records lack it";
  json["rows"][1]["against_fastest"] = {{"against", json["rows"][3]["id"]}, {"ratio", 0.45}, {"low", 0.44}, {"high", 0.46}};
  const std::string text = tidy_csv(comparison_of(json));
  for (const char* line :
       {"against_fastest,ratio,,0.45,\n", "against_fastest,interval_low,,0.44,\n", "against_fastest,interval_high,,0.46,\n"})
    EXPECT_NE(text.find(std::string("\nopenmp-t1-fp32-b64,ran,openmp,Example CPU,1,fp32,64,row,,,") + line), std::string::npos) << line;
}

TEST(MlperfLogs, TellTheStoryOfARun) {
  const std::vector<NamedFile> logs = mlperf_logs(comparison_of(sample_comparison()));
  ASSERT_EQ(logs.size(), 10U);
  std::vector<std::string> keys;
  int64_t last_time = 0;
  std::string text = logs[0].bytes;
  while (!text.empty()) {
    const std::string line = text.substr(0, text.find('\n'));
    text.erase(0, line.size() + 1);
    ASSERT_TRUE(line.starts_with(":::MLLOG {")) << line;
    const Json event = Json::parse(line.substr(9));
    keys.push_back(event["key"]);
    EXPECT_GE(event["time_ms"].get<int64_t>(), last_time);
    last_time = event["time_ms"];
    if (event["key"] == "run_stop") {
      EXPECT_EQ(event["metadata"]["status"], "success");
    }
  }
  for (const char* key : {"seed", "global_batch_size", "train_samples", "opt_name", "opt_base_learning_rate", "run_start", "run_stop"})
    EXPECT_EQ(std::count(keys.begin(), keys.end(), key), 1) << key;
  EXPECT_EQ(std::count(keys.begin(), keys.end(), "eval_accuracy"), 6);
  EXPECT_EQ(std::count(keys.begin(), keys.end(), "epoch_stop"), 6);
}

TEST(MlperfLogs, SayWhereTheTargetWasNotReached) {
  Json json = sample_comparison();
  json["question"]["target_accuracy"] = 0.999;
  EXPECT_NE(mlperf_logs(comparison_of(json))[0].bytes.find(R"("status":"aborted")"), std::string::npos);
}

}  // namespace
}  // namespace fovea::report
