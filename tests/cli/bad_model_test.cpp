// Safetensors that are damaged, cut, swapped or of another program, given to the real program.
#include "tests/cli/bad_input.h"

namespace fovea::cli {
namespace {

class BadModel : public testing::TestWithParam<BadInput> {};

TEST_P(BadModel, IsRefused) { expect_refused(GetParam()); }

const std::string on_model = "eval {}/m.safetensors --backend eigen --data synthetic:8x8x1:4:10:10";

TEST(WholeModel, IsTaken) {
  const Program program;
  plant_model(program, [](train::SavedModel&) {});
  const Limited ran = run_limited(program, on_model);
  EXPECT_EQ(ran.code, 0) << ran.error;
}

BadInput bytes(const char* name, std::string content, std::vector<std::string> says) {
  says.push_back("m.safetensors");
  return {name, file("m.safetensors", std::move(content)), on_model, 4, std::move(says)};
}
// The bytes of a whole model, changed.
BadInput changed(const char* name, std::function<void(std::string&)> change, std::vector<std::string> says) {
  const Plant plant = [change](const Program& program) {
    plant_model(program, [](train::SavedModel&) {});
    std::string content = read_file(program.path("m.safetensors"));
    change(content);
    program.plant("m.safetensors", content);
  };
  says.push_back("m.safetensors");
  return {name, plant, on_model, 4, std::move(says)};
}
BadInput header(const char* name, std::function<void(json&)> change, std::vector<std::string> says) {
  const Plant plant = [change](const Program& program) { plant_model_with_header(program, change); };
  says.push_back("m.safetensors");
  return {name, plant, on_model, 4, std::move(says)};
}
BadInput model(const char* name, std::function<void(train::SavedModel&)> change, std::vector<std::string> says) {
  const Plant plant = [change](const Program& program) { plant_model(program, change); };
  says.push_back("m.safetensors");
  return {name, plant, on_model, 4, std::move(says)};
}

const std::string one_float = R"({"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";

INSTANTIATE_TEST_SUITE_P(
    Bytes, BadModel,
    testing::Values(
        bytes("empty", "", {"E0404", "0 bytes"}), bytes("seven bytes", "1234567", {"E0404", "7 bytes"}),
        bytes("a header of 2^63 bytes", std::string("\0\0\0\0\0\0\0\x80{}", 10), {"E0404", "9223372036854775808 bytes"}),
        bytes("a header of a terabyte", std::string("\0\0\0\0\0\1\0\0{}", 10), {"E0404", "1099511627776 bytes"}),
        bytes("a header of text", safetensors("no JSON", ""), {"E0404", "JSON"}),
        bytes("a zip file", "PK\3\4" + std::string(100, '\0'), {"E0404"}),
        bytes("a terabyte in one tensor",
              safetensors(R"({"t":{"dtype":"U8","shape":[1048576,1048576],"data_offsets":[0,1099511627776]}})", "x"), {"E0404", "`t`"}),
        bytes("sizes below 0", safetensors(R"({"t":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "1234"), {"E0404", "`t`"}),
        bytes("a type that is not read", safetensors(R"({"t":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}})", "1234"),
              {"E0405", "BF16"}),
        bytes("of another program", safetensors(one_float, "1234"), {"E0406", "`format`"}),
        bytes("without tensors", safetensors("{}", ""), {"E0406", "`format`"}),
        changed("cut in its data", [](std::string& all) { all.resize(all.size() - 10); }, {"E0404"}),
        changed("cut in its header", [](std::string& all) { all.resize(200); }, {"E0404", "200 bytes"}),
        changed("goes on", [](std::string& all) { all += "more"; }, {"E0404"}),
        changed("a bracket of the header flipped", [](std::string& all) { all[8] = '['; }, {"E0404", "JSON"}),
        BadInput{"zeros without end",
                 [](const Program& p) { plant_hole(p, "m.safetensors", uint64_t{1} << 40); },
                 on_model,
                 4,
                 {"E0404", "m.safetensors", "1099511627776 bytes"}},
        BadInput{"no such model", nothing, on_model, 4, {"E0401", "m.safetensors", "No such file"}},
        BadInput{"a folder without a model",
                 nothing,
                 "eval {} --data synthetic:8x8x1:4:10:10",
                 4,
                 {"E0401", "best.safetensors", "No such file"}},
        BadInput{"a device", nothing, "eval /dev/zero --data synthetic:8x8x1:4:10:10", 4, {"E0401", "/dev/zero", "not a file"}}),
    test_name);

INSTANTIATE_TEST_SUITE_P(
    Content, BadModel,
    testing::Values(header("two tensors over the same bytes",
                           [](json& h) { h["conv1.bias"]["data_offsets"] = h["linear1.bias"]["data_offsets"]; }, {"E0404"}),
                    header("swapped names", [](json& h) { std::swap(h["conv1.weight"], h["linear1.weight"]); }, {"E0407", "conv1.weight"}),
                    header("another version", [](json& h) { h["__metadata__"]["format"] = "fovea-model-9"; },
                           {"E0406", "fovea-model-9", "fovea-model-1"}),
                    header("no mean", [](json& h) { h["__metadata__"].erase("mean"); }, {"E0406", "`mean`"}),
                    header("a mean in words", [](json& h) { h["__metadata__"]["mean"] = "[\"half\"]"; }, {"E0406", "`mean`"}),
                    model("means of another number of channels",
                          [](train::SavedModel& m) {
                            m.preprocessing.mean = {0.5f, 0.5f};
                          },
                          {"E0406", "2 means", "1 channels"}),
                    model("a tensor is missing", [](train::SavedModel& m) { m.weights.pop_back(); }, {"E0407", "linear1.bias"}),
                    model("a tensor too many",
                          [](train::SavedModel& m) {
                            m.weights.push_back({"more", DType::u8, {1}, {std::byte{1}}});
                          },
                          {"E0407", "5 tensors", "4 parameters"}),
                    model("weights of another network",
                          [](train::SavedModel& m) {
                            m.weights[0].shape = {4, 9, 1, 1};
                          },
                          {"E0407", "conv1.weight", "(4, 3, 3, 1)", "(4, 9, 1, 1)"}),
                    BadInput{"a network that cannot be",
                             header("", [](json& h) { h["__metadata__"]["network"] = "input = [0]"; }, {}).plant,
                             on_model,
                             3,
                             {"E0204", "m.safetensors"}}),
    test_name);

}  // namespace
}  // namespace fovea::cli
