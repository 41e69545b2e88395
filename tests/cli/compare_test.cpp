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
