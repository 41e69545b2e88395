// Blocks: what their uses become, and every complaint about them.
#include "fovea/model/expansion.h"

#include <gtest/gtest.h>

#include "fovea/base/error.h"
#include "fovea/model/network.h"

namespace fovea::model {
namespace {

using Names = std::vector<std::string>;

const std::string residual = R"([block.residual]
arguments = ["channels"]
defaults = { stride = 1, project = false, act = "relu" }
layers = [
  { conv2d = "$channels", kernel = 1, activation = "$act" },
  { conv2d = "2 * $channels", kernel = 3, stride = "$stride", padding = 1, name = "body" },
  { conv2d = "2 * $channels", kernel = 1, stride = "$stride", from = "input", name = "around", when = "$project" },
  { add = ["body", "around"] },
]
)";

// Layers begin in line 3.
std::string text_of_network(const std::string& layers, const std::string& blocks) {
  return "input = [8, 8, 4]\nlayers = [\n" + layers + "\n{ global_avg_pool = true }, { linear = 3, name = \"fc\" }]\n" + blocks;
}
Network parse(const std::string& layers, const std::string& blocks = residual) {
  return parse_network(text_of_network(layers, blocks), "net.toml");
}

Names names_of(const Network& network) {
  Names names;
  for (const Layer& layer : network.layers) names.push_back(layer.name);
  return names;
}

const Layer& layer_named(const Network& network, const std::string& name) {
  for (const Layer& layer : network.layers)
    if (layer.name == name) return layer;
  throw std::runtime_error("no layer " + name);
}

Names inputs_of(const Network& network, const std::string& name) {
  Names names;
  for (const int from : layer_named(network, name).from)
    names.push_back(from == image_input ? "image" : network.layers[static_cast<size_t>(from)].name);
  return names;
}

std::string complaint(const std::string& layers, const std::string& blocks = residual) {
  try {
    parse(layers, blocks);
  } catch (const Error& problem) {
    EXPECT_EQ(problem.code(), ExitCode::config);
    return problem.what();
  }
  return "no error";
}

TEST(Expansion, RepeatsABlockAndItsFirstMayDiffer) {
  const Network network =
      parse(R"({ block = "residual", name = "stage", channels = 4, repeat = 2, first = { stride = 2, project = true } },)");
  EXPECT_EQ(names_of(network), (Names{"stage.0.conv1", "stage.0.body", "stage.0.around", "stage.0.add1", "stage.1.conv1", "stage.1.body",
                                      "stage.1.add1", "pool1", "fc"}));
  EXPECT_EQ(layer_named(network, "stage.0.add1").out, (Shape{4, 4, 8}));
  EXPECT_EQ(layer_named(network, "stage.1.add1").out, (Shape{4, 4, 8}));
  EXPECT_EQ(layer_named(network, "stage.0.conv1").activation, Activation::relu);
  EXPECT_EQ(inputs_of(network, "stage.0.around"), (Names{"image"}));
  EXPECT_EQ(inputs_of(network, "stage.0.add1"), (Names{"stage.0.body", "stage.0.around"}));
  EXPECT_EQ(inputs_of(network, "stage.1.conv1"), (Names{"stage.0.add1"}));
  EXPECT_EQ(inputs_of(network, "stage.1.add1"), (Names{"stage.1.body", "stage.0.add1"}));  // what was left out stands for its input
  EXPECT_EQ(network.parameters[0].name, "stage.0.conv1.weight");
}

TEST(Expansion, ABlockUsedOnceHasNoNumber) {
  const Network network =
      parse(R"({ block = "residual", channels = 2, act = "tanh" }, { block = "residual", channels = 1, project = true },)");
  EXPECT_EQ(names_of(network), (Names{"residual1.conv1", "residual1.body", "residual1.add1", "residual2.conv1", "residual2.body",
                                      "residual2.around", "residual2.add1", "pool1", "fc"}));
  EXPECT_EQ(layer_named(network, "residual1.conv1").activation, Activation::tanh);
  EXPECT_EQ(layer_named(network, "residual2.conv1").line, 9);
}

TEST(Expansion, ABlocksOutputHasItsName) {
  const Network network =
      parse(R"({ block = "residual", channels = 2, name = "a" }, { block = "residual", channels = 2, from = "input", name = "b" },
                                   { concat = ["a", "b"] },)");
  EXPECT_EQ(inputs_of(network, "concat1"), (Names{"a.add1", "b.add1"}));
  EXPECT_EQ(inputs_of(network, "b.conv1"), (Names{"image"}));
}

TEST(Expansion, BlocksNest) {
  const std::string outer = R"(
[block.stage]
arguments = ["width"]
layers = [
  { block = "residual", channels = "$width", project = true },
  { block = "residual", channels = "$width", repeat = 2 },
]
)";
  const Network network = parse(R"({ block = "stage", width = 3 },)", residual + outer);
  EXPECT_EQ(network.layers.front().name, "stage1.residual1.conv1");
  EXPECT_EQ(layer_named(network, "stage1.residual2.1.add1").out, (Shape{8, 8, 6}));
  EXPECT_EQ(inputs_of(network, "stage1.residual2.0.conv1"), (Names{"stage1.residual1.add1"}));
}

TEST(Expansion, ComplaintsNameTheUse) {
  EXPECT_EQ(
      complaint(R"({ block = "residual", channels = 4 },)"),
      "error[E0207]: layer `residual1.add1` adds 8 x 8 x 8 of `residual1.body` and 8 x 8 x 4 of the image, which differ in size\n  --> "
      "net.toml:12\n  note: in block `residual`, used as `residual1` in line 3 with act = \"relu\", channels = 4, project = false, stride "
      "= 1\n  help: give both the same height, width and channels: a conv2d or a shortcut on one of them changes its own");
  EXPECT_EQ(complaint(R"({ block = "residual", channels = 4, act = "rleu" },)"),
            "error[E0205]: `activation` is \"rleu\", which is not known\n  --> net.toml:9\n  note: in block `residual`, used as "
            "`residual1` in line 3 with act = \"rleu\", channels = 4, project = false, stride = 1\n  help: did you mean `relu`? known "
            "activations: relu, sigmoid, tanh, leaky_relu, gelu, gelu_tanh, silu");
  EXPECT_EQ(complaint(R"({ block = "residual", channels = 2, repeat = 2, first = { stride = 0 } },)"),
            "error[E0204]: `stride` is 0, but must be at least 1\n  --> net.toml:10\n  note: in block `residual`, used as `residual1.0` in "
            "line 3 with act = \"relu\", channels = 2, project = false, stride = 0\n  help: give a value of that kind and range");
  const std::string nested =
      complaint(R"({ block = "outer" },)", residual + "[block.outer]\nlayers = [{ block = \"residual\", channels = 4 }]\n");
  EXPECT_NE(nested.find("\n  note: in block `residual`, used as `outer1.residual1` in line 15 with "), std::string::npos) << nested;
  EXPECT_NE(nested.find("\n  note: in block `outer`, used as `outer1` in line 3\n"), std::string::npos) << nested;
}

TEST(Expansion, RefusesUsesThatDoNotFit) {
  EXPECT_EQ(complaint(R"({ block = "residul", channels = 4 },)"),
            "error[E0210]: there is no block `residul`\n  --> net.toml:3\n  help: did you mean `residual`? known blocks: residual");
  EXPECT_EQ(complaint(R"({ block = "residual", chanels = 4 },)"),
            "error[E0202]: key `channels` is missing\n  --> net.toml:3\n  help: is `chanels` meant to be `channels`?\n  note: block "
            "`residual` needs it");
  EXPECT_EQ(complaint(R"({ block = "residual", channels = 2, strid = 4 },)"),
            "error[E0203]: unknown key `strid` in `layers`\n  --> net.toml:3\n  help: did you mean `stride`? known keys: block, name, "
            "from, when, channels, stride, project, act, repeat");
  EXPECT_EQ(complaint(R"({ block = "residual", channels = 2, repeat = 2, first = { strid = 4 } },)"),
            "error[E0203]: unknown key `strid` in `first`\n  --> net.toml:3\n  help: did you mean `stride`? known keys: channels, stride, "
            "project, act");
  EXPECT_EQ(complaint(R"({ block = "residual", channels = 2, repeat = 0 },)"),
            "error[E0204]: `repeat` is 0, but must be at least 1\n  --> net.toml:3\n  help: give a value of that kind and range");
  EXPECT_EQ(complaint(R"({ conv2d = 4, kernel = 1 },)"),
            "error[E0210]: block `residual` is not used\n  --> net.toml:5\n  help: use it as a layer, `{ block = \"residual\" }`, or take "
            "it out");
  EXPECT_EQ(complaint(R"({ block = "a" },)", "[block.a]\nlayers = [{ block = \"a\" }]\n"),
            "error[E0210]: block `a` uses itself\n  --> net.toml:6\n  note: in block `a`, used as `a1` in line 3\n  help: repeat it with "
            "`repeat`");
  EXPECT_EQ(complaint(R"({ block = "a" },)", "[block.a]\nlayers = []\n"),
            "error[E0210]: block `a` has no layers\n  --> net.toml:6\n  note: in block `a`, used as `a1` in line 3\n  help: "
            "models/README.md shows blocks with their arguments");
  EXPECT_EQ(complaint(R"({ block = "a" },)", "[block.a]\nlayer = []\n"),
            "error[E0202]: key `layers` is missing\n  --> net.toml:5\n  note: in block `a`, used as `a1` in line 3\n  help: is `layer` "
            "meant to be `layers`?");
  EXPECT_EQ(complaint(R"({ block = "residual", channels = 2, repeat = 9999 },)").substr(0, 47),
            "error[E0208]: the network has more than 10000 l");
}

TEST(Expansion, RefusesArgumentsThatMeanNothing) {
  const auto with = [](const std::string& head, const std::string& layer) {
    return complaint(R"({ block = "a", x = 4 },)", "[block.a]\n" + head + "\nlayers = [{ " + layer + " }]\n");
  };
  const std::string note = "\n  note: in block `a`, used as `a1` in line 3 with x = 4\n";
  EXPECT_EQ(with("arguments = [\"x\"]", "conv2d = \"$y\", kernel = 1"),
            "error[E0210]: `conv2d`: there is no argument `$y` here\n  --> net.toml:7" + note + "  help: known arguments: x");
  EXPECT_EQ(with("arguments = [\"x\"]", "conv2d = \"$x + 1\", kernel = 1"),
            "error[E0210]: `conv2d`: \"$x + 1\" is not understood\n  --> net.toml:7" + note +
                "  help: write \"$NAME\", or a product such as \"4 * $NAME\"");
  EXPECT_EQ(with("arguments = [\"x\"]", "conv2d = \"9000000000000000000 * $x\", kernel = 1"),
            "error[E0210]: `conv2d`: \"9000000000000000000 * $x\" is 9000000000000000000 times 4, which is too large\n  --> net.toml:7" +
                note + "  help: give smaller numbers");
  EXPECT_EQ(with("arguments = [\"x\"]", "conv2d = \"1.5 * $x\", kernel = 1"),
            "error[E0204]: `conv2d` must be a whole number, not 6.0\n  --> net.toml:7\n  note: in block `a`, used as `a1` in line 3 with x "
            "= 4\n  help: give a value of that kind and range");
  EXPECT_EQ(with("arguments = [\"x\"]\ndefaults = { x = 1 }", "conv2d = \"$x\", kernel = 1"),
            "error[E0210]: argument `x` has a default, so it cannot be among `arguments`, which must be given\n  --> net.toml:7\n  help: "
            "models/README.md shows blocks with their arguments");
  EXPECT_EQ(with("arguments = [\"2x\"]", "conv2d = 4, kernel = 1"),
            "error[E0210]: the argument name `2x` may have only letters, digits and `_`, not a digit first\n  --> net.toml:6\n  help: "
            "models/README.md shows blocks with their arguments");
  EXPECT_EQ(with("defaults = { repeat = 1 }", "conv2d = 4, kernel = 1"),
            "error[E0210]: no argument can be named `repeat`: it means something else where a block is used\n  --> net.toml:6\n  help: "
            "models/README.md shows blocks with their arguments");
  EXPECT_EQ(complaint(R"({ conv2d = "$classes", kernel = 1 },)", ""),
            "error[E0210]: `conv2d`: there is no argument `$classes` here\n  --> net.toml:3\n  help: a network has `$classes` if it says "
            "`classes = N`, a block what its `arguments` and `defaults` name");
}

TEST(Expansion, RefusesNamesThatMeanNothing) {
  EXPECT_EQ(complaint(R"({ conv2d = 4, kernel = 1, from = "conv2" },)", ""),
            "error[E0209]: no layer before this one is named `conv2`\n  --> net.toml:3\n  help: known names: input");
  EXPECT_EQ(
      complaint("{ conv2d = 4, kernel = 1 },\n{ add = \"conv\" },", ""),
      "error[E0209]: no layer before this one is named `conv`\n  --> net.toml:4\n  help: did you mean `conv1`? known names: conv1, input");
  EXPECT_EQ(complaint(R"({ conv2d = 4, kernel = 1, name = "input" },)", ""),
            "error[E0209]: no layer can be named `input`: that is what comes in\n  --> net.toml:3\n  help: take another name");
  EXPECT_EQ(complaint("{ conv2d = 4, kernel = 1 },\n{ add = [\"input\", \"conv1\", \"conv1\"] },", ""),
            "error[E0204]: `add` names 3 outputs, but takes two\n  --> net.toml:4\n  help: add the rest in a layer of its own");
  EXPECT_EQ(complaint("{ conv2d = 4, kernel = 1 },\n{ conv2d = 4, kernel = 1, from = \"input\" },", ""),
            "error[E0209]: layer `conv1` gives an output that no layer takes\n  --> net.toml:3\n  help: join it with `add` or `concat`, or "
            "take it out");
  EXPECT_EQ(complaint("{ max_pool = 2 },\n{ concat = \"input\" },", ""),
            "error[E0207]: layer `concat1` puts 4 x 4 x 4 of `pool1` and 8 x 8 x 4 of the image side by side, which differ in more than "
            "their channels\n  --> net.toml:4\n  help: give all the same height and width");
  EXPECT_EQ(complaint(R"({ shortcut = 7 },)", ""),
            "error[E0207]: layer `shortcut1` cannot be built: a shortcut from 4 to 7 channels: it can only add an even number of them\n  "
            "--> net.toml:3\n  help: its input is 8 x 8 x 4");
  EXPECT_EQ(complaint(R"({ conv2d = 4, kernel = 1, activation = "relu", slope = 0.1 },)", ""),
            "error[E0204]: `slope` is of leaky_relu alone, but the activation is relu\n  --> net.toml:3\n  help: give a value of that kind "
            "and range");
}

}  // namespace
}  // namespace fovea::model
