// fovea compare as a user calls it.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/cli/program.h"

namespace fovea::cli {
namespace {

const std::string tiny = "compare --model {}/tiny.toml --data synthetic:8x8x1:4:50:30 --batch 16 --out {}/out --extra-seconds 0.3 ";

TEST(CompareCommand, PrintsATableAndLeavesAResult) {
  const Program program;
  const Ran ran = program.run(tiny + "--epochs 2 --backends eigen,openmp --threads 1");
  EXPECT_EQ(ran.code, 0) << ran.error;
  EXPECT_TRUE(has(ran.out, "\n| eigen |")) << ran.out;
  EXPECT_TRUE(has(ran.out, "\n| openmp |")) << ran.out;
  EXPECT_TRUE(is_there(program.path("out/report.html")));
  const nlohmann::json json = nlohmann::json::parse(read_file(program.path("out/result.json")));
  EXPECT_EQ(json.at("command").at(0), "fovea");
  EXPECT_EQ(json.at("command").at(1), "compare");
  EXPECT_TRUE(is_there(program.path("out/eigen-t1-fp32-b16/result.json")));
  EXPECT_EQ(program.run(tiny + "--epochs 1").code, 2) << "the folder holds a comparison";
  EXPECT_EQ(program.run(tiny + "--epochs 1 --overwrite --quiet --backends eigen").out, "");
}

TEST(CompareCommand, OverwriteLeavesNothingOfRowsThatAreGoneAndNothingElseIsTouched) {
  const Program program;
  ASSERT_EQ(program.run(tiny + "--epochs 1 --backends eigen,openmp --threads 1 --log mlperf --quiet").code, 0);
  const auto there = [&](const char* name) { return is_there(program.path(std::string("out/") + name)); };
  for (const char* name : {"openmp-t1-fp32-b16/config.toml", "tensorboard/openmp-t1-fp32-b16", "mlperf/openmp-t1-fp32-b16-seed1.log"})
    EXPECT_TRUE(there(name)) << name;
  for (const char* name : {"of_mine", "reference-t1-fp32-b16", "tensorboard/of_mine"}) {
    std::filesystem::create_directories(program.path(std::string("out/") + name));
    program.plant(std::string("out/") + name + "/config.toml", "mine");
  }
  ASSERT_EQ(program.run(tiny + "--epochs 1 --backends eigen --seeds 2 --overwrite --quiet").code, 0);
  for (const char* name : {"openmp-t1-fp32-b16", "eigen-t1-fp32-b16", "tensorboard/openmp-t1-fp32-b16", "mlperf"})
    EXPECT_FALSE(there(name)) << name;
  for (const char* name : {"eigen-t1-fp32-b16-seed1/config.toml", "eigen-t1-fp32-b16-seed2/config.toml", "tensorboard/eigen-t1-fp32-b16",
                           "of_mine/config.toml", "reference-t1-fp32-b16/config.toml", "tensorboard/of_mine/config.toml"})
    EXPECT_TRUE(there(name)) << name;
  ASSERT_EQ(program.run(tiny + "--steps 5 --backends eigen --overwrite --quiet").code, 0);
  EXPECT_FALSE(there("eigen-t1-fp32-b16-seed1")) << "speed alone has no runs";
}

TEST(CompareCommand, OverwriteRemovesOnlyRunsThatTheComparisonMadeAndOfTheseOnlyWhatRunsLeave) {
  const Program program;
  const auto there = [&](const std::string& name) { return is_there(program.path("out/" + name)); };
  const auto plant_mine = [&](const std::string& folder) {
    std::filesystem::create_directories(program.path("out/" + folder));
    program.plant("out/" + folder + "/config.toml", "mine");
  };
  ASSERT_EQ(program.run(tiny + "--epochs 1 --backends eigen,openmp --threads 1 --quiet").code, 0);
  nlohmann::json json = nlohmann::json::parse(read_file(program.path("out/result.json")));
  for (const char* status : {"refused", "absent"}) {
    json["rows"].push_back(json["rows"][1]);
    json["rows"].back().update({{"status", status}, {"id", status}});
    plant_mine(status);
  }
  program.plant("out/result.json", json.dump());
  plant_mine("openmp-t1-fp32-b16-seed1");  // with one seed no run has that name
  program.plant("out/openmp-t1-fp32-b16/notes.txt", "mine");
  ASSERT_EQ(program.run(tiny + "--steps 1 --backends eigen,openmp --threads 1 --overwrite --quiet").code, 0);
  for (const char* name : {"refused", "absent", "openmp-t1-fp32-b16-seed1"}) EXPECT_TRUE(there(std::string(name) + "/config.toml")) << name;
  EXPECT_FALSE(there("eigen-t1-fp32-b16"));
  std::vector<std::string> left;
  for (const auto& entry : std::filesystem::directory_iterator(program.path("out/openmp-t1-fp32-b16")))
    left.push_back(entry.path().filename().string());
  EXPECT_EQ(left, std::vector<std::string>{"notes.txt"});
  plant_mine("openmp-t1-fp32-b16");
  ASSERT_EQ(program.run(tiny + "--steps 1 --backends eigen --overwrite --quiet").code, 0);
  EXPECT_TRUE(there("openmp-t1-fp32-b16/config.toml")) << "speed alone made no runs";
}

TEST(CompareCommand, OverwriteRemovesNothingBeforeANewOneHasEnded) {
  const Program program;
  const auto there = [&](const std::string& name) { return is_there(program.path("out/" + name)); };
  ASSERT_EQ(program.run(tiny + "--epochs 1 --backends eigen,openmp --threads 1 --quiet").code, 0);
  const auto end_by = [&](const std::string& signal, const std::string& when_there_is) {
    return program.run(tiny + "--backends eigen --steps 1000000000 --overwrite --quiet & for i in $(seq 100); do [ -e {}/out/" +
                       when_there_is + " ] && break; sleep 0.1; done; kill -" + signal + " $!; wait $!");
  };
  EXPECT_EQ(end_by("INT", "replaced-1.json").code, 75);
  EXPECT_TRUE(there("openmp-t1-fp32-b16/best.safetensors"));
  EXPECT_EQ(end_by("KILL", "replaced-2.json").code, 137);
  EXPECT_FALSE(there("result.json"));
  EXPECT_EQ(program.run(tiny + "--steps 1 --backends eigen --quiet").code, 2) << "what it replaced is there still";
  EXPECT_TRUE(there("openmp-t1-fp32-b16/best.safetensors"));
  ASSERT_EQ(program.run(tiny + "--steps 1 --backends eigen --overwrite --quiet").code, 0);
  for (const char* name :
       {"openmp-t1-fp32-b16", "eigen-t1-fp32-b16", "tensorboard/openmp-t1-fp32-b16", "replaced-1.json", "replaced-2.json"})
    EXPECT_FALSE(there(name)) << name;
}

// A record that was changed leads nowhere else.
TEST(CompareCommand, OverwriteRemovesNothingOutsideTheFolder) {
  const Program program;
  ASSERT_EQ(program.run(tiny + "--epochs 1 --backends eigen --quiet").code, 0);
  nlohmann::json json = nlohmann::json::parse(read_file(program.path("out/result.json")));
  std::filesystem::create_directories(program.path("outside"));
  program.plant("outside/config.toml", "mine");
  program.plant("out/config.toml", "mine");
  for (const char* id : {"../outside", ".", "..", "", "eigen-t1-fp32-b16/.."}) {
    json["rows"][0]["id"] = id;
    program.plant("out/result.json", json.dump());
    ASSERT_EQ(program.run(tiny + "--steps 1 --backends eigen --overwrite --quiet").code, 0) << id;
    EXPECT_TRUE(is_there(program.path("outside/config.toml"))) << id;
    EXPECT_TRUE(is_there(program.path("out/config.toml"))) << id;
  }
  program.plant("out/result.json", "{");
  EXPECT_EQ(program.run(tiny + "--steps 1 --backends eigen --overwrite --quiet").code, 0);
}

TEST(CompareCommand, WarnsOfABatchLargerThanTheData) {
  const Program program;
  const Ran ran = program.run(tiny + "--steps 1 --backends eigen --batch 512");
  EXPECT_EQ(ran.code, 0) << ran.error;
  EXPECT_TRUE(has(ran.error, "warning: eigen-t1-fp32-b512: batch 512 is larger than the 50 training images: its steps have 50 images"))
      << ran.error;
}

TEST(CompareCommand, ExitCodes) {
  const Program program;
  EXPECT_EQ(program.run(tiny + "--backends no_such_backend").code, 5);
  EXPECT_EQ(program.run(tiny + "--steps 0").code, 2);
  EXPECT_EQ(program.run(tiny + "--steps 5 --target-accuracy 0.5").code, 3);
  EXPECT_EQ(program.run(tiny + "--backends eigen --precision bf16").code, 3);
  EXPECT_EQ(program.run(tiny + "--backends eigen --batch auto").code, 2);
  const Ran none = program.run(tiny + "--backends eigen --memory-limit '20 KiB'");
  EXPECT_EQ(none.code, 6) << none.error;
  EXPECT_TRUE(has(none.error, "no row could run")) << none.error;
  EXPECT_TRUE(is_there(program.path("out/report.html")));
  const Ran missed = program.run(tiny + "--overwrite --backends eigen --epochs 1 --target-accuracy 1");
  EXPECT_EQ(missed.code, 8) << missed.error;
  EXPECT_TRUE(is_there(program.path("out/result.json")));
}

TEST(CompareCommand, ASignalEndsItWithAReport) {
  const Program program;
  const Ran ran = program.run(tiny + "--backends eigen --steps 1000000000 --quiet & sleep 1; kill -INT $!; wait $!");
  EXPECT_EQ(ran.code, 75) << ran.error;
  const nlohmann::json json = nlohmann::json::parse(read_file(program.path("out/result.json")));
  EXPECT_TRUE(json.at("interrupted").get<bool>());
}

}  // namespace
}  // namespace fovea::cli
