// Runs to go on with whose files are damaged, cut, swapped, of another run or not there, given to the real program.
#include "tests/cli/bad_input.h"

namespace fovea::cli {
namespace {

class BadCheckpoint : public testing::TestWithParam<BadInput> {};

TEST_P(BadCheckpoint, IsRefused) { expect_refused(GetParam()); }

const std::string resume = "train --quiet --resume {}/run";
const std::string last = "run/last.ckpt", previous = "run/previous.ckpt";

// What the cases below change for the worse is right by itself.
TEST(WholeCheckpoint, IsTaken) {
  const Program program;
  plant_run_with_sections(program, [](Sections&) {});
  const Limited ran = run_limited(program, resume);
  EXPECT_EQ(ran.code, 0) << ran.error;
  EXPECT_TRUE(std::filesystem::exists(program.path("run/result.json")));
}

TEST(OlderCheckpoint, IsTakenWhereTheNewestIsDamaged) {
  const Program program;
  plant_run(program);
  std::string bytes = read_file(program.path(last));
  bytes.resize(bytes.size() / 2);
  program.plant(last, bytes);
  const Limited ran = run_limited(program, "train --resume {}/run");
  EXPECT_EQ(ran.code, 0) << ran.error;
  EXPECT_TRUE(has(ran.error, "warning: ") && has(ran.error, "last.ckpt cannot be used")) << ran.error;
  EXPECT_TRUE(std::filesystem::exists(program.path("run/result.json")));
}

// A run of which something was changed.
BadInput run(const char* name, Plant change, int code, std::vector<std::string> says) {
  const Plant plant = [change](const Program& program) {
    plant_run(program);
    change(program);
  };
  return {name, plant, resume, code, std::move(says)};
}
// Both checkpoints changed alike.
BadInput bytes(const char* name, std::function<void(std::string&)> change, std::vector<std::string> says) {
  const Plant plant = [change](const Program& program) {
    for (const std::string& file : {last, previous}) {
      std::string content = read_file(program.path(file));
      change(content);
      program.plant(file, content);
    }
  };
  says.insert(says.begin(), {"E0410", last});
  return run(name, plant, 4, std::move(says));
}
BadInput sections(const char* name, std::function<void(Sections&)> change, std::vector<std::string> says) {
  says.insert(says.begin(), {"E0410", last});
  return {name, [change](const Program& program) { plant_run_with_sections(program, change); }, resume, 4, std::move(says)};
}
BadInput state(const char* name, std::function<void(json&)> change, std::vector<std::string> says) {
  const auto in_sections = [change](Sections& all) {
    json content = json::parse(all.at(1).second);
    change(content);
    all[1].second = content.dump();
  };
  return sections(name, in_sections, std::move(says));
}
// The setting in the text of its configuration, set to something else.
Plant configured(const std::string& before, const std::string& after) {
  return [=](const Program& program) {
    std::string text = read_file(program.path("run/config.toml"));
    const size_t at = text.find(before);
    if (at == std::string::npos) throw std::runtime_error("no `" + before + "` in " + text);
    program.plant("run/config.toml", text.replace(at, before.size(), after));
  };
}

INSTANTIATE_TEST_SUITE_P(
    Bytes, BadCheckpoint,
    testing::Values(
        bytes("empty", [](std::string& all) { all.clear(); }, {"0 bytes"}),
        bytes("cut in its header", [](std::string& all) { all.resize(20); }, {"20 bytes"}),
        bytes("cut in its table", [](std::string& all) { all.resize(50); }, {"its table takes", "18 are there"}),
        bytes("cut by a byte", [](std::string& all) { all.pop_back(); }, {"section `", "bytes, of which"}),
        bytes("goes on", [](std::string& all) { all += "more"; }, {"4 bytes behind its last section"}),
        bytes("a bit of its header flipped", [](std::string& all) { all[13] ^= 1; }, {"its header is damaged"}),
        bytes("a bit of its table flipped", [](std::string& all) { all[40] ^= 1; }, {"its table of sections is damaged"}),
        bytes("a bit of its weights flipped", [](std::string& all) { all[all.size() - 100] ^= 1; }, {"its section `", "is damaged"}),
        bytes("line ends changed", [](std::string& all) { all.erase(6, 1); }, {"does not begin as one"}),
        bytes("a later format", [](std::string& all) { put_in_header(all, 8, uint32_t{7}); }, {"format 7", "reads 1"}),
        bytes("a table of 2^63 bytes", [](std::string& all) { put_in_header(all, 16, uint64_t{1} << 63); }, {"9223372036854775808 bytes"}),
        bytes("four billion sections", [](std::string& all) { put_in_header(all, 12, ~uint32_t{0}); }, {"4294967295 sections"}),
        run("zeros without end",
            [](const Program& p) {
              plant_hole(p, last, uint64_t{1} << 40);
              p.remove(previous);
            },
            4, {"E0410", last, "1099511627776 bytes"}),
        run("swapped with a model",
            [](const Program& p) {
              plant_model(p, [](train::SavedModel&) {});
              for (const std::string& file : {last, previous}) p.plant(file, read_file(p.path("m.safetensors")));
            },
            4, {"E0410", last, "does not begin as one"}),
        BadInput{"a checkpoint for a model",
                 [](const Program& p) {
                   plant_run(p);
                   p.plant("m.safetensors", read_file(p.path(last)));
                 },
                 "eval {}/m.safetensors --backend eigen --data synthetic:8x8x1:4:10:10",
                 4,
                 {"E0404", "m.safetensors"}},
        run("that cannot be read",
            [](const Program& p) {
              for (const std::string& file : {last, previous}) std::filesystem::permissions(p.path(file), std::filesystem::perms::none);
            },
            4, {"E0401", last, "Permission denied"}),
        run("a folder for a checkpoint",
            [](const Program& p) {
              p.remove(previous);
              p.remove(last);
              std::filesystem::create_directory(p.path(last));
            },
            4, {"E0401", last, "not a file"})),
    test_name);

INSTANTIATE_TEST_SUITE_P(
    Content, BadCheckpoint,
    testing::Values(
        sections("no state", [](Sections& all) { all.erase(all.begin() + 1); }, {"no section `state`"}),
        sections("no sections", [](Sections& all) { all.clear(); }, {"no section `run`"}),
        sections("a state of text", [](Sections& all) { all[1].second = "no JSON"; }, {"parse error"}),
        sections("a state of brackets", [](Sections& all) { all[1].second = std::string(1 << 20, '['); }, {"parse error"}),
        sections("a tensor is missing",
                 [](Sections& all) { std::erase_if(all, [](auto& one) { return one.first == "tensor:conv1.bias"; }); },
                 {"tensors from step to step"}),
        sections("a tensor of another size", [](Sections& all) { all[2].second += "more"; }, {"the run needs `", "bytes, not `"}),
        sections("tensors swapped", [](Sections& all) { std::swap(all[2], all[3]); }, {"the run needs `"}),
        sections("kept weights of another network", [](Sections& all) { all.back().second += "more"; }, {"none of the network's"}),
        sections("a part of the kept weights", [](Sections& all) { all.pop_back(); }, {"keeps 3 tensors of 4"}),
        state("no epoch", [](json& s) { s.erase("epoch"); }, {"'epoch'"}),
        state("an epoch in words", [](json& s) { s["epoch"] = "two"; }, {"string in place of a whole number"}),
        state("half a step", [](json& s) { s["step"] = 1e300; }, {"in place of a whole number"}),
        state("an epoch below 0", [](json& s) { s["epoch"] = -1; }, {"in epoch 0", "does not fit together"}),
        state("a position behind the images", [](json& s) { s["position"] = 9223372036854775807; }, {"9223372036854775807 of 40 images"}),
        state("a loss of letters", [](json& s) { s["metrics"]["loss_sum"] = "much"; }, {"number that cannot be read"}),
        state("a history of nothing", [](json& s) { s["history"] = json::array(); }, {"a history of 0 epochs"})),
    test_name);

INSTANTIATE_TEST_SUITE_P(
    Foreign, BadCheckpoint,
    testing::Values(
        run("another seed", configured("seed = 1", "seed = 2"), 4, {"E0411", last, "`seed`", "saved: 1; now: 2"}),
        run("other data", configured("4:50:30", "4:60:30"), 4, {"E0411", last}),
        run("another network",
            [](const Program& p) {
              std::string text = read_file(p.path("tiny.toml"));
              p.plant("tiny.toml", text + "\n");
            },
            4, {"E0411", last, "`the network`"}),
        run("a damaged configuration", configured("seed = 1", "seed = "), 3, {"E0201", "run/config.toml"}),
        run("a configuration with an unknown key", configured("seed = 1", "sed = 1"), 3, {"E0203", "run/config.toml", "`seed`"}),
        run("without a configuration", [](const Program& p) { p.remove("run/config.toml"); }, 4, {"E0412", "/run", "config.toml"}),
        run("its data are gone", configured("synthetic:8x8x1:4:50:30", "mnist:/nowhere"), 4, {"E0302", "/nowhere"}),
        BadInput{"no folder", nothing, resume, 4, {"E0412", "/run"}},
        BadInput{"a file for a folder", file("run", "x"), resume, 4, {"E0412", "/run"}},
        BadInput{"with a setting", plant_run, resume + " --epochs 3", 2, {"E0100", "--resume"}}),
    test_name);

}  // namespace
}  // namespace fovea::cli
