// The commands on a tiny network, and what they leave and print.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "tests/cli/program.h"

namespace fovea::cli {
namespace {

using nlohmann::json;

std::vector<json> lines_of(const std::string& text) {
  std::vector<json> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(json::parse(line));
  return lines;
}

TEST(Help, BeginsWithWhatToType) {
  const Program program;
  for (const std::string command :
       {"train", "eval", "models", "plan", "diff", "doctor", "machine", "bench", "bench op", "table", "report"}) {
    const Ran help = program.run(command + " --help");
    EXPECT_EQ(help.code, 0) << command;
    EXPECT_LT(help.out.find("Examples:\n  fovea " + command), help.out.find("OPTIONS")) << help.out;
  }
  EXPECT_TRUE(has(program.run("--help").out, "Examples:\n  fovea train recipes/lenet5_digits.toml"));
  EXPECT_TRUE(has(program.run("train --help").out, "--learning-rate RATE"));
  EXPECT_TRUE(has(program.run("train --help").out, "(default: 0.01)"));
  EXPECT_TRUE(program.run("--version").out.starts_with("fovea "));
}

TEST(Train, LeavesItsFilesAndEvalGivesTheSameAccuracy) {
  const Program program;
  const Ran train = program.train("--epochs 2 --valid test --learning-rate 0.1");
  ASSERT_EQ(train.code, 0) << train.error;
  EXPECT_EQ(train.error, "");
  EXPECT_TRUE(has(train.out, "epoch 2/2  loss ")) << train.out;
  EXPECT_FALSE(has(train.out, "\r")) << "a bar where there is no terminal";
  for (const std::string file : {"config.toml", "history.csv", "best.safetensors", "last.ckpt", "log.txt", "result.json"})
    EXPECT_TRUE(std::filesystem::exists(program.path("out") / file)) << file;
  const json result = json::parse(read_file(program.path("out/result.json")));
  for (const std::string model : {"{}/out", "{}/out/best.safetensors"}) {
    const Ran eval = program.run("eval " + model + " --data synthetic:8x8x1:4:50:30 --json --batch 7");
    ASSERT_EQ(eval.code, 0) << eval.error;
    const json line = json::parse(eval.out);
    EXPECT_EQ(line["accuracy"], result["test_accuracy"]);
    EXPECT_NEAR(line["loss"].get<double>(), result["test_loss"].get<double>(), 1e-6);
    EXPECT_EQ(line["weights_sha256"], result["weights_sha256"]);
    EXPECT_EQ(line["images"], 30);
  }
  EXPECT_EQ(json::parse(program.run("eval {}/out --data synthetic:8x8x1:4:50:30 --json --split train").out)["images"], 50);
  EXPECT_TRUE(has(program.run("eval {}/out --data synthetic:8x8x1:4:50:30").out, "tiny on 30 test images of random pixels"));
}

// The events of MLPerf's form in what was printed: there is nothing else.
std::vector<json> events_of(const std::string& text) {
  std::vector<json> events;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    EXPECT_TRUE(line.starts_with(":::MLLOG {")) << line;
    events.push_back(json::parse(line.substr(9)));
  }
  return events;
}

TEST(Train, WritesALogAsMlperfHasThem) {
  const Program program;
  const Ran train = program.train("--epochs 2 --valid test --seed 7 --log mlperf");
  ASSERT_EQ(train.code, 0) << train.error;
  const std::vector<json> events = events_of(train.out);
  std::vector<std::string> keys;
  for (const json& event : events) keys.push_back(event["key"]);
  EXPECT_EQ(keys, (std::vector<std::string>{"submission_benchmark", "submission_platform", "seed", "global_batch_size", "train_samples",
                                            "eval_samples", "opt_name", "opt_base_learning_rate", "run_start", "epoch_start", "epoch_stop",
                                            "eval_accuracy", "epoch_start", "epoch_stop", "eval_accuracy", "run_stop"}));
  EXPECT_EQ(events[2]["value"], 7);
  EXPECT_EQ(events[3]["value"], 16);
  EXPECT_EQ(events[10]["metadata"]["epoch_num"], 1);
  EXPECT_EQ(events.back()["metadata"]["status"], "success");
  EXPECT_TRUE(std::is_sorted(events.begin(), events.end(), [](const json& a, const json& b) { return a["time_ms"] < b["time_ms"]; }));
  const std::vector<json> failed = events_of(program.train("--learning-rate 1e6 --weight-decay 1e6 --overwrite --log mlperf").out);
  ASSERT_FALSE(failed.empty());
  EXPECT_EQ(failed.back()["metadata"]["status"], "aborted");
  EXPECT_EQ(program.train("--overwrite --log mlperf --json").code, 2);
}

TEST(Report, IsMadeFromTheRecordAlone) {
  const Program program;
  program.plant("result.json", read_file("tests/report/comparison.json"));
  const Ran report = program.run("report {} --log mlperf");
  ASSERT_EQ(report.code, 0) << report.error;
  EXPECT_TRUE(has(report.out, "\nbackend  threads  batch ")) << report.out;
  EXPECT_TRUE(has(report.out, "the report is " + program.path("report.html").string())) << report.out;
  for (const std::string file : {"report.html", "result.csv", "table.md", "mlperf/eigen-t1-fp32-b64-seed1.log"})
    EXPECT_TRUE(std::filesystem::exists(program.path(file))) << file;
  EXPECT_TRUE(has(program.run("report {} --markdown").out, "| backend | threads |"));
  EXPECT_EQ(program.run("report {} --quiet").out, "");
  program.plant("result.json", "{}");
  const Ran broken = program.run("report {}");
  EXPECT_EQ(broken.code, 4);
  EXPECT_TRUE(has(broken.error, "lacks `schema`")) << broken.error;
  EXPECT_EQ(program.run("report {}/absent").code, 4);
}

// docs/results.md: `fovea train FOLDER/config.toml --out ANOTHER` does the same again.
TEST(Train, ItsRecipeDoesTheSameAgain) {
  const Program program;
  ASSERT_EQ(program.train("--optimizer adam --mirror --crop-padding 1 --seed 5 --no-claims --mean 0.4 --deviation 0.3").code, 0);
  const Ran again = program.run("train {}/out/config.toml --out {}/again");
  ASSERT_EQ(again.code, 0) << again.error;
  const json first = json::parse(read_file(program.path("out/result.json"))),
             second = json::parse(read_file(program.path("again/result.json")));
  EXPECT_EQ(first["weights_sha256"], second["weights_sha256"]);
  EXPECT_TRUE(has(first["recipe"], "claims = false"));
  EXPECT_FALSE(has(first["recipe"], "backend = \"\""));  // the one that ran it is named
}

TEST(Train, IsQuietOrPrintsJsonOnRequest) {
  const Program program;
  const Ran quiet = program.train("--quiet");
  EXPECT_EQ(quiet.code, 0);
  EXPECT_EQ(quiet.out + quiet.error, "");
  const Ran refused = program.train("--json");
  EXPECT_EQ(refused.code, 2);
  EXPECT_TRUE(has(refused.error, "--overwrite")) << refused.error;
  const Ran run = program.train("--json --overwrite --epochs 3");
  ASSERT_EQ(run.code, 0) << run.error;
  const std::vector<json> lines = lines_of(run.out);
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines.front()["event"], "start");
  EXPECT_EQ(lines[3]["epoch"], 3);
  EXPECT_EQ(lines.back()["event"], "result");
  EXPECT_EQ(lines.back()["weights_sha256"], json::parse(read_file(program.path("out/result.json")))["weights_sha256"]);
}

TEST(Models, AreListedAndShown) {
  const Program program;
  const std::string list = program.run("models").out;
  for (const std::string name : {"cifar_cnn", "lenet5", "logistic", "mlp", "softmax"}) EXPECT_TRUE(has(list, name)) << list;
  EXPECT_TRUE(has(list, "61706")) << list;
  EXPECT_TRUE(has(program.run("models lenet5").out, "61,706"));
  EXPECT_TRUE(has(program.run("models {}/tiny.toml").out, "conv1"));
}

TEST(Plan, ShowsStepsAndMemory) {
  const Program program;
  const Ran plan = program.run("plan --model lenet5 --batch 8 --backend reference");
  ASSERT_EQ(plan.code, 0) << plan.error;
  EXPECT_TRUE(has(plan.out, "training of lenet5, batch 8, backend reference"));
  EXPECT_TRUE(has(plan.out, "conv2d_backward_filter"));
  EXPECT_TRUE(has(plan.out, "activations"));
  const Ran evaluation = program.run("plan recipes/lenet5_mnist.toml --phase evaluation");
  EXPECT_EQ(evaluation.code, 0) << evaluation.error;
  EXPECT_FALSE(has(evaluation.out, "backward")) << evaluation.out;
}

TEST(Diff, ComparesTwoBackends) {
  const Program program;
  const Ran diff = program.run("diff {}/tiny.toml reference eigen --batch 3 --steps 2");
  ASSERT_EQ(diff.code, 0) << diff.error;
  EXPECT_TRUE(has(diff.out, "batch 3, 2 training steps: reference and eigen")) << diff.out;
  EXPECT_TRUE(has(diff.out, ", 0 beyond it")) << diff.out;
  EXPECT_FALSE(has(diff.out, "conv1")) << diff.out;
  const Ran all = program.run("diff {}/tiny.toml reference reference --all --data synthetic:8x8x1:4:50:30");
  ASSERT_EQ(all.code, 0) << all.error;
  EXPECT_TRUE(has(all.out, "conv1.weight.grad")) << all.out;
  EXPECT_FALSE(has(all.out, "ULP")) << all.out;
  EXPECT_EQ(program.run("diff {}/tiny.toml reference eigen --data synthetic:8x8x1:4:3:1").code, 3);
}

TEST(Doctor, FindsAWorkingMachine) {
  const Program program;
  const Ran doctor = program.run("doctor");
  EXPECT_EQ(doctor.code, 0) << doctor.error;
  EXPECT_TRUE(has(doctor.out, "reference")) << doctor.out;
  EXPECT_FALSE(has(doctor.out, "FAILS")) << doctor.out;
  const std::string names = program.run("doctor --backends").out;
  EXPECT_TRUE(has(names, "eigen\n")) << names;
  EXPECT_FALSE(has(names, "reference")) << names;
}

TEST(Machine, PrintsItsRoofs) {
  const Program program;
  const Ran machine = program.run("machine --threads 1");
  ASSERT_EQ(machine.code, 0) << machine.error;
  EXPECT_TRUE(has(machine.out, "GFLOP/s")) << machine.out;
  EXPECT_TRUE(has(machine.out, "triad")) << machine.out;
  const std::vector<json> lines = lines_of(program.run("machine --threads 2 --json").out);
  EXPECT_EQ(lines.at(0)["threads"], 2);
  EXPECT_GT(lines.at(0)["flops_per_second"], 1e8);
  EXPECT_GT(lines.at(0)["memory_triad_bytes_per_second"], 1e7);
  std::set<std::string> devices;
  for (const json& line : lines) EXPECT_TRUE(devices.insert(line["device"]).second) << line << " stands there twice";
}

TEST(Bench, MeasuresLayersProblemsAndCasesOfTheTable) {
  const Program program;
  const Ran bench = program.run(
      "bench op --backend eigen,openmp --model {}/tiny.toml --batch 3 --seconds 0.01 --threads 1 "
      "--case '*conv1/conv2d_forward' --case 'mb9ic2ih8oc3kh3n\"mine\"' --dir BWD_W "
      "--case 'conv2d_forward 1x1x1x1 k1 1x1' --json {}/op.jsonl");
  ASSERT_EQ(bench.code, 0) << bench.error;
  for (const char* name : {"tiny-b3/conv1/conv2d_forward ", "mine/conv2d_backward_filter ", "conv2d_forward 1x1x1x1 k1 1x1 "})
    EXPECT_TRUE(has(bench.out, name)) << bench.out;
  EXPECT_FALSE(has(bench.out, "mine/conv2d_forward")) << bench.out;
  EXPECT_TRUE(has(bench.out, "roof of ")) << bench.out;
  const std::vector<json> lines = lines_of(read_file(program.path("op.jsonl")));
  ASSERT_EQ(lines.size(), 6u);
  EXPECT_EQ(lines[0]["experiment"], "op/tiny-b3/conv1/conv2d_forward/eigen-1threads");
  EXPECT_EQ(lines[1]["configuration"]["backend"], "openmp");
  EXPECT_EQ(lines[2]["configuration"]["problem"], "--conv --dir=BWD_W g1mb3ic2ih8iw8oc3oh6ow6kh3kw3sh1sw1ph0pw0dh0dw0");
  EXPECT_EQ(lines[2]["configuration"]["flops"], 2.0 * 3 * 6 * 6 * 3 * 3 * 3 * 2);
  for (const json& line : lines) {
    EXPECT_GT(line["configuration"]["roof_share"], 0) << line;
    EXPECT_GE(line["runs"].front().size(), 3u) << line;
  }
}

TEST(Bench, NamesThePrecisionOfTheRoof) {
  const Program program;
  const json machine = lines_of(program.run("machine --threads 1 --json").out).at(0);
  for (const std::string precision : {"bf16", "fp16"}) {
    const Ran bench = program.run(
        fmt::format("bench op --backend reference --precision {} --seconds 0.01 --case='--dir=FWD_D mb4ic8ih8oc8kh1' --json {{}}/{}.jsonl",
                    precision, precision));
    ASSERT_EQ(bench.code, 0) << bench.error;
    const json configuration = lines_of(read_file(program.path(precision + ".jsonl"))).at(0)["configuration"];
    EXPECT_EQ(configuration["precision"], precision);
    if (!machine.contains(precision + "_flops_per_second")) {
      EXPECT_EQ(configuration["roof_precision"], "fp32");
    }
    EXPECT_TRUE(has(bench.out, fmt::format("of multiply-adds in {},", configuration["roof_precision"].get<std::string>()))) << bench.out;
  }
}

TEST(Bench, ColdCachesTakeCopies) {
  const Program program;
  const Ran bench = program.run("bench op --backend eigen --cold --seconds 0.01 --case='--dir=FWD_D mb64ic8ih64oc8kh1' --json {}/op.jsonl");
  ASSERT_EQ(bench.code, 0) << bench.error;
  EXPECT_GE(lines_of(read_file(program.path("op.jsonl")))[0]["configuration"]["copies"], 2);
}

TEST(Table, PutsRunsBesideEachOther) {
  const Program program;
  ASSERT_EQ(program.train("--backend eigen").code, 0);
  ASSERT_EQ(program.run("train {}/out/config.toml --backend reference --out {}/other").code, 0);
  const Ran table = program.run("table {}/out/result.json {}/other/result.json");
  ASSERT_EQ(table.code, 0) << table.error;
  EXPECT_TRUE(has(table.out, "reference")) << table.out;
  EXPECT_TRUE(has(table.out, "eigen")) << table.out;
  EXPECT_TRUE(has(program.run("table {}/out/result.json --markdown").out, "| --"));
}

}  // namespace
}  // namespace fovea::cli
