// The record of a comparison, read: every member, what may be unknown, and what is said of files that are none.
#include "tests/report/comparison_file.h"

namespace fovea::report {
namespace {

using Json = nlohmann::ordered_json;

TEST(ReadComparison, TakesEveryMember) {
  const Comparison comparison = comparison_of(sample_comparison());
  EXPECT_EQ(comparison.title, "lenet5 on digits: every backend of an example machine");
  EXPECT_EQ(comparison.command.back(), "runs/my comparison");
  EXPECT_EQ(comparison.notes.size(), 2U);
  EXPECT_EQ(comparison.test_images, 1000);
  EXPECT_EQ(comparison.target_accuracy, 0.9);
  EXPECT_EQ(comparison.idle_cpu_watts, 17.6);
  EXPECT_EQ(comparison.idle_gpu_watts, std::nullopt);
  EXPECT_FALSE(comparison.interrupted);
  EXPECT_NE(comparison.statistics.find("bootstrap"), std::string::npos);
  ASSERT_EQ(comparison.rows.size(), 7U);
  const ComparedRow& row = comparison.rows[1];
  EXPECT_EQ(row.id, "openmp-t1-fp32-b64");
  EXPECT_EQ(row.threads, 1);
  EXPECT_EQ(row.images_per_second.median, 7900);
  EXPECT_EQ(row.images_per_second.low, 7860.5);
  EXPECT_EQ(row.images_per_second.count, 24);
  EXPECT_EQ(row.test_accuracy.deviation, 0.0019);
  EXPECT_EQ(row.energy.method, "RAPL, package counter");
  EXPECT_EQ(row.energy.dram, std::nullopt);
  EXPECT_EQ(row.speedup.ratio, 1.881);
  EXPECT_EQ(row.speedup.against, "eigen-t1-fp32-b64");
  EXPECT_EQ(row.roof.bound_by, "arithmetic");
  ASSERT_EQ(row.runs.size(), 2U);
  EXPECT_EQ(row.runs[1].seed, 2);
  EXPECT_EQ(row.runs[1].epochs.size(), 6U);
  EXPECT_EQ(row.runs[1].slices.size(), 12U);
  EXPECT_EQ(row.runs[1].moments.size(), 41U);
  EXPECT_EQ(row.runs[1].confusion.size(), 10U);
  EXPECT_EQ(comparison.rows[5].status, Status::refused);
  EXPECT_EQ(comparison.rows[6].status, Status::absent);
}

TEST(ReadComparison, FlattensWhatDescribesTheMachine) {
  const Comparison comparison = comparison_of(sample_comparison());
  const auto entry = [&](const std::string& key) {
    for (const auto& [name, value] : comparison.environment)
      if (name == key) return value;
    return std::string("absent");
  };
  EXPECT_EQ(entry("libraries.Eigen"), "3.4.0");
  EXPECT_EQ(entry("gpu"), "unknown");
  EXPECT_EQ(entry("memory_bytes"), "8589934592");
}

TEST(ReadComparison, LabelsRowsByWhatDiffersAmongThem) {
  Json json = sample_comparison();
  EXPECT_EQ(comparison_of(json).rows[0].label, "eigen, 1 thread, batch 64");
  EXPECT_EQ(comparison_of(json).rows[6].label, "cuda");
  json["rows"].erase(json["rows"].begin() + 3);  // that with another batch, and the refused one
  json["rows"].erase(json["rows"].begin() + 4);
  EXPECT_EQ(comparison_of(json).rows[0].label, "eigen, 1 thread");
  json["rows"].push_back(json["rows"][0]);
  json["rows"].back()["id"] = "again";
  EXPECT_EQ(comparison_of(json).rows.back().label, "eigen, 1 thread (again)");
}

TEST(ReadComparison, TakesRowsOfWhichNothingIsKnown) {
  const Comparison comparison = comparison_of(without_figures(sample_comparison()));
  EXPECT_EQ(comparison.rows[0].images_per_second.median, std::nullopt);
  EXPECT_TRUE(comparison.rows[0].runs.empty());
  EXPECT_EQ(comparison.rows[0].reason, "the reason");
}

TEST(ReadComparison, SaysWhatIsWrongWithOtherFiles) {
  const auto error_of = [](const Json& json) { return error_text([&] { comparison_of(json); }); };
  EXPECT_NE(error_of(Json::object()).find("lacks `schema`"), std::string::npos);
  Json json = sample_comparison();
  json["schema"] = "fovea.comparison/2";
  EXPECT_NE(error_of(json).find("`fovea.comparison/2`, this program reads `fovea.comparison/1`"), std::string::npos);
  json = sample_comparison();
  json["rows"] = Json::array();
  EXPECT_NE(error_of(json).find("no rows"), std::string::npos);
  json = sample_comparison();
  json["rows"][0]["status"] = "won";
  EXPECT_NE(error_of(json).find("`status` is `won`"), std::string::npos);
  json = sample_comparison();
  json["rows"][0]["images_per_second"]["median"] = "fast";
  EXPECT_NE(error_of(json).find("`median` is \"fast\", not a number"), std::string::npos);
  json = sample_comparison();
  json["rows"][0]["runs"][0]["confusion"][3].erase(0);
  EXPECT_NE(error_of(json).find("no square"), std::string::npos);
  const RunFiles files;
  EXPECT_NE(error_text([&] { read_comparison(files.path()); }).find("result.json"), std::string::npos);
}

}  // namespace
}  // namespace fovea::report
