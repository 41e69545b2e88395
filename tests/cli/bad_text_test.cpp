// Networks, recipes, flags and records that cannot be, given to the real program.
#include "tests/cli/bad_input.h"

namespace fovea::cli {
namespace {

class BadText : public testing::TestWithParam<BadInput> {};

TEST_P(BadText, IsRefused) { expect_refused(GetParam()); }

// A network with this text.
BadInput network(const char* name, std::string text, std::vector<std::string> says) {
  says.push_back("net.toml");
  return {name, file("net.toml", std::move(text)), "models {}/net.toml", 3, std::move(says)};
}
std::string layer(const std::string& text) {
  return "input = [8, 8, 1]\nlayers = [\n  { " + text + " },\n  { flatten = true },\n  { linear = 4 },\n]\n";
}

// A recipe on the network {}/tiny.toml with these lines more.
BadInput recipe(const char* name, const std::string& text, std::vector<std::string> says) {
  const Plant plant = [text](const Program& program) {
    program.plant("r.toml", "model = \"" + program.path("tiny.toml").string() + "\"\ndata = \"synthetic:8x8x1:4:50:30\"\n" + text + "\n");
  };
  return {name, plant, "train {}/r.toml --quiet --backend eigen --out {}/out", 3, std::move(says)};
}

INSTANTIATE_TEST_SUITE_P(
    Network, BadText,
    testing::Values(
        network("not closed", "input = [8, 8, 1]\nlayers = [\n  { flatten = true },\n", {"E0201", "TOML"}),
        network("empty", "", {"E0202", "`input`"}), network("binary", std::string("\x7f\x45\x4c\x46\0\1\2\3", 8), {"E0201", "net.toml:1"}),
        network("not UTF 8", "name = \"\xff\xfe\"\n", {"E0201", "net.toml:1"}),
        network("letters beyond ASCII", "\xc3\xa9 = 1\n", {"E0201", "net.toml:1"}),
        network("10000 brackets", "a = " + std::string(10000, '['), {"E0201", "net.toml:1"}),
        network("a key twice", "input = [8, 8, 1]\ninput = [8, 8, 1]\n", {"E0201", "net.toml:2", "input"}),
        network("unknown key", layer("conv2d = 4, kernel = 3, strid = 2"), {"E0203", "net.toml:3", "`strid`", "did you mean `stride`?"}),
        network("unknown kind", layer("conv3d = 4, kernel = 3"), {"E0203", "net.toml:3", "did you mean `conv2d`?"}),
        network("missing key", layer("conv2d = 4, kernal = 3"), {"E0202", "net.toml:3", "`kernel`"}),
        network("text for a number", layer("conv2d = \"four\", kernel = 3"), {"E0204", "net.toml:3", "\"four\""}),
        network("negative channels", layer("conv2d = -4, kernel = 3"), {"E0204", "net.toml:3", "-4", "at least 1"}),
        network("channels beyond 2^31", layer("conv2d = 9223372036854775807, kernel = 3"), {"E0204", "9223372036854775807", "at most"}),
        network("channels beyond 2^64", layer("conv2d = 99999999999999999999, kernel = 3"), {"E0201", "net.toml:3"}),
        network("kernel of 0", layer("conv2d = 4, kernel = 0"), {"E0204", "`kernel` is 0"}),
        network("kernel larger than its input", layer("conv2d = 4, kernel = 9"), {"E0207", "net.toml:3", "9 x 9", "8 x 8"}),
        network("groups that do not divide", layer("conv2d = 4, kernel = 1, groups = 3"), {"E0207", "net.toml:3", "3 groups"}),
        network("sizes whose product overflows", layer("conv2d = 2147483647, kernel = [2147483647, 2147483647], padding = 2147483647"),
                {"E0207", "net.toml:3", "2147483647"}),
        network("weights of 4 TB", layer("conv2d = 2000000000, kernel = 1, padding = 100"), {"E0208", "net.toml:3", "too large"}),
        network("a layer 100 million times", layer("block = \"b\", repeat = 100000000") + "[block.b]\nlayers = [{ dropout = 0.5 }]\n",
                {"E0204", "net.toml:3", "`repeat` is 100000000"}),
        network("100 million layers in blocks of blocks",
                layer("block = \"a\", repeat = 10000") +
                    "[block.a]\nlayers = [{ block = \"b\", repeat = 10000 }]\n[block.b]\nlayers = [{ dropout = 0.5 }]\n",
                {"E0208", "10000 layers"}),
        network("a block in itself", layer("block = \"b\"") + "[block.b]\nlayers = [{ block = \"b\" }]\n", {"E0210", "`b` uses itself"}),
        network("an image of 0 x 8", "input = [0, 8, 1]\nlayers = [{ flatten = true }, { linear = 4 }]\n", {"E0204", "net.toml:1", "is 0"}),
        network("no linear layer in the end", "input = [8, 8, 1]\nlayers = [{ conv2d = 4, kernel = 3 }]\n", {"E0211", "6 x 6 x 4"}),
        network("a name twice", layer("conv2d = 4, kernel = 3, name = \"linear1\""), {"E0209", "`linear1`"}),
        BadInput{"no such network", nothing, "models lenet6", 3, {"E0206", "`lenet6`", "did you mean `lenet5`?"}},
        BadInput{"no such network file", nothing, "models {}/absent.toml", 3, {"E0206", "absent.toml"}},
        BadInput{"a folder for a network",
                 [](const Program& p) { std::filesystem::create_directory(p.path("net.toml")); },
                 "models {}/net.toml",
                 3,
                 {"E0206", "net.toml"}},
        BadInput{"a terabyte for a network",
                 [](const Program& p) { plant_hole(p, "net.toml", uint64_t{1} << 40); },
                 "models {}/net.toml",
                 4,
                 {"E0403", "net.toml", "16777216 bytes"}}),
    test_name);

INSTANTIATE_TEST_SUITE_P(
    Recipe, BadText,
    testing::Values(recipe("not closed", "keep = \"best", {"E0201", "r.toml:3"}),
                    recipe("unknown key", "learning_rat = 0.1", {"E0203", "r.toml:3", "did you mean `learning_rate`?"}),
                    recipe("epochs below 0", "epochs = -3", {"E0204", "r.toml:3", "`epochs` is -3"}),
                    recipe("epochs in words", "epochs = \"many\"", {"E0204", "r.toml:3", "\"many\""}),
                    recipe("a batch beyond 2^31", "batch = 9000000000000000000", {"E0204", "r.toml:3", "9000000000000000000"}),
                    recipe("a rate that is no number", "learning_rate = nan", {"E0204", "r.toml:3", "nan"}),
                    recipe("an endless rate", "learning_rate = inf", {"E0204", "r.toml:3", "inf"}),
                    recipe("unknown optimiser", "optimizer = \"adan\"", {"E0205", "r.toml:3", "\"adan\"", "did you mean `adam`?"}),
                    recipe("half for validation and more", "valid = 1.5", {"E0204", "r.toml:3", "1.5"}),
                    recipe("a validation of nothing", "valid = 0.001", {"E0214", "0.001", "50 images"}),
                    recipe("plateau without validation", "schedule = \"plateau\"", {"E0213", "r.toml", "validate"}),
                    recipe("more parts than images", "batch = 4\nmicro_batches = 5", {"E0213", "r.toml", "batch of 4", "5 micro-batches"}),
                    recipe("means of another number of channels", "mean = [0.5, 0.5]\ndeviation = [1, 1]",
                           {"E0214", "2 values", "1 channels"}),
                    recipe("weights of another number of classes", "class_weights = [1, 2]", {"E0214", "2 values", "4 classes"}),
                    recipe("a class that is not there", "positive = [\"cat\"]", {"E0214", "`cat`"}),
                    recipe("rules that match nothing", "[[tensors]]\nmatch = \"conv9.*\"\ndecay = 0", {"E0215", "r.toml:3", "conv9.*"}),
                    recipe("rules that set nothing", "[[tensors]]\nmatch = \"conv1.*\"", {"E0215", "r.toml:4", "conv1.*"}),
                    BadInput{"no such recipe", nothing, "train {}/absent.toml", 4, {"E0401", "absent.toml", "No such file"}},
                    BadInput{"a folder for a recipe", nothing, "train {}", 4, {"E0401", "folder"}},
                    BadInput{"an endless recipe", nothing, "train /dev/zero", 4, {"E0403", "/dev/zero", "16777216 bytes"}},
                    BadInput{"a recipe that cannot be read",
                             [](const Program& p) {
                               p.plant("r.toml", "");
                               std::filesystem::permissions(p.path("r.toml"), std::filesystem::perms::none);
                             },
                             "train {}/r.toml",
                             4,
                             {"E0401", "r.toml", "Permission denied"}}),
    test_name);

// Choices for a new run, in a file with this text.
BadInput tuning(const char* name, std::string text, std::vector<std::string> says) {
  says.push_back("t.json");
  return {name, file("t.json", std::move(text)), on_synthetic + "--autotune across --tuning {}/t.json", 4, std::move(says)};
}
const std::string of_tuning = R"({"format": "fovea-tuning-1", "platform": "another", "choices": )";

INSTANTIATE_TEST_SUITE_P(
    Tuning, BadText,
    testing::Values(BadInput{"not there", nothing, on_synthetic + "--autotune across --tuning {}/t.json", 4, {"E0401", "t.json"}},
                    tuning("empty", "", {"E0414", "not JSON"}), tuning("cut", of_tuning, {"E0414", "not JSON"}),
                    tuning("binary", std::string("\x7f\x45\x4c\x46\0\1\2\3", 8), {"E0414", "not JSON"}),
                    tuning("a million brackets", std::string(1000000, '['), {"E0414", "nested deeper"}),
                    tuning("a list", "[]", {"E0414", "array"}), tuning("another format", R"({"format": "x"})", {"E0414", "`x`"}),
                    tuning("choices in a list", of_tuning + "[]}", {"E0414", "`choices` is array"}),
                    tuning("a choice without times", of_tuning + R"({"p": {"taken": "a"}}})", {"E0414", "`p`", "`microseconds`"}),
                    tuning("a negative time", of_tuning + R"({"p": {"taken": "a", "microseconds": -3}}})", {"E0414", "`p` is -3"}),
                    tuning("of another machine", of_tuning + "{}}", {"E0415", "there: another; here: "}),
                    BadInput{"with autotune off",
                             file("t.json", of_tuning + "{}}"),
                             on_synthetic + "--autotune off --tuning {}/t.json",
                             3,
                             {"E0213", "makes none"}},
                    BadInput{"nobody to compare with",
                             nothing,
                             "train --quiet --backend reference --out {}/out --model {}/tiny.toml --data synthetic:8x8x1:4:50:30 "
                             "--autotune across",
                             3,
                             {"E0213", "`reference`"}}),
    test_name);

INSTANTIATE_TEST_SUITE_P(
    Command, BadText,
    testing::Values(BadInput{"unknown command", nothing, "trian x", 2, {"E0101", "did you mean `train`?"}},
                    BadInput{"unknown flag", nothing, "train --speed 5", 2, {"E0101", "--speed"}},
                    BadInput{"unknown error", nothing, "explain E9999", 2, {"E0101", "`E9999`"}},
                    BadInput{"a flag with two keys in it", nothing, on_synthetic + "--epochs '1\nbatch = 2'", 2, {"E0102", "--epochs"}},
                    BadInput{"epochs of 1e9", nothing, on_synthetic + "--epochs 1000000000", 3, {"E0204", "--epochs", "1000000000"}},
                    BadInput{"unknown backend", nothing, "plan --model lenet5 --backend tpu", 5, {"E0501", "`tpu`", "eigen"}},
                    BadInput{"a backend that this machine lacks", nothing, "plan --model lenet5 --backend cuda", 5, {"E0502", "`cuda`"}},
                    BadInput{"out is a file", file("out", "x"), on_synthetic, 4, {"E0402", "/out", "Not a directory"}},
                    BadInput{"out cannot be made",
                             [](const Program& p) {
                               std::filesystem::create_directory(p.path("mnist"));
                               std::filesystem::permissions(p.path("mnist"),
                                                            std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
                             },
                             "train --model {}/tiny.toml --data synthetic:8x8x1:4:50:30 --backend eigen --out {}/mnist/run",
                             4,
                             {"E0402", "/mnist/run", "Permission denied"}},
                    BadInput{"out holds a run", file("out/config.toml", "x"), on_synthetic, 2, {"E0103", "/out"}},
                    BadInput{"a record cut short",
                             file("result.json", "{\"schema_version\": 1,\n\"model\": "),
                             "table {}/result.json",
                             4,
                             {"E0408", "result.json:2", "ends before"}},
                    BadInput{"a record of another version",
                             file("result.json", "{\"schema_version\": 7}"),
                             "table {}/result.json",
                             4,
                             {"E0408", "result.json", "7"}},
                    BadInput{
                        "a history without a column", file("history.csv", "epoch\n1\n"), "plot {}/history.csv --out {}/a.svg", 4, {"E04"}}),
    test_name);

}  // namespace
}  // namespace fovea::cli
