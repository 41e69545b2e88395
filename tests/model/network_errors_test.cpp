// Every complaint about a network's text: its words, its place and its remedy.
#include <gtest/gtest.h>

#include <algorithm>

#include "fovea/base/error.h"
#include "fovea/base/installed.h"
#include "fovea/model/network.h"
#include "fovea/model/shipped.h"

namespace fovea::model {
namespace {

template <class Action>
std::string complaint(Action action) {
  try {
    action();
  } catch (const Error& problem) {
    EXPECT_EQ(problem.code(), ExitCode::config);
    return problem.what();
  }
  return "no error";
}

std::string complaint_about(const std::string& text) {
  return complaint([&] { parse_network(text, "net.toml"); });
}

// Of a layer in line 3 of a network that takes 28 x 28 x 1.
std::string complaint_about_layer(const std::string& layer, const std::string& rest = "{ flatten = true },\n{ linear = 3 }") {
  return complaint_about("input = [28, 28, 1]\nlayers = [\n{ " + layer + " },\n" + rest + "\n]\n");
}

TEST(NetworkErrors, Text) {
  EXPECT_EQ(complaint_about("layers = []"),
            "error[E0202]: key `input` is missing\n  --> net.toml:1\n  help: input = [height, width, channels]");
  EXPECT_EQ(complaint_about("input = [28, 28]"),
            "error[E0204]: `input` has 2 numbers, but takes three\n  --> net.toml:1\n  help: input = [height, width, channels]");
  EXPECT_EQ(complaint_about("input = [28, 0, 1]"),
            "error[E0204]: `input` is 0, but must be at least 1\n  --> net.toml:1\n  help: give a value of that kind and range");
  EXPECT_EQ(
      complaint_about("input = [28, 28, 1000000000000]"),
      "error[E0204]: `input` is 1000000000000, but must be at most 65536\n  --> net.toml:1\n  help: give a value of that kind and range");
  EXPECT_EQ(
      complaint_about("input = [28, 28, 1]"),
      "error[E0211]: the network has no layers\n  --> net.toml:1\n  help: end with `{ flatten = true },` and `{ linear = CLASSES },`");
  EXPECT_EQ(
      complaint_about("input = [28, 28, 1]\nlayers = []"),
      "error[E0211]: the network has no layers\n  --> net.toml:2\n  help: end with `{ flatten = true },` and `{ linear = CLASSES },`");
  EXPECT_EQ(complaint_about("input = [28, 28, 1]\nlayers = [\n{}]"),
            "error[E0202]: a layer is empty\n  --> net.toml:3\n  help: add the key; models/README.md and docs/results.md list all of them");
  EXPECT_EQ(complaint_about("input = [2, 2, 1]\nlos = \"x\"\nlayers = [{ flatten = true }, { linear = 2 }]"),
            "error[E0203]: unknown key `los`\n  --> net.toml:2\n  help: did you mean `loss`? known keys: name, loss, input, classes, init, "
            "bias_init, batch_norm, block, layers");
  EXPECT_EQ(complaint_about("input = [2, 2, 1]\nloss = \"cross_entropy\"\n"),
            "error[E0205]: `loss` is \"cross_entropy\", which is not known\n  --> net.toml:2\n  help: known values: softmax_cross_entropy, "
            "binary_cross_entropy");
  EXPECT_EQ(
      complaint_about("input = [2, 2, 1]\ninit = \"kaiming\"\n"),
      "error[E0205]: `init` is \"kaiming\", which is not known\n  --> net.toml:2\n  help: did you mean `kaiming_uniform`? known values: "
      "kaiming_uniform, kaiming_normal, xavier_uniform, xavier_normal, lecun_uniform, lecun_normal, pytorch_default, zeros, ones");
}

TEST(NetworkErrors, Kinds) {
  EXPECT_EQ(complaint_about_layer("conv = 8, kernel = 3"),
            "error[E0203]: a layer needs a kind, but `conv` is none\n  --> net.toml:3\n  help: did you mean `conv2d`? known kinds: block, "
            "conv2d, depthwise_conv2d, linear, max_pool, avg_pool, global_avg_pool, dropout, flatten, add, concat, shortcut, batch_norm, "
            "activation");
  EXPECT_EQ(complaint_about_layer("conv2d = 8, max_pool = 3"),
            "error[E0213]: a layer is of one kind, but this one has both `conv2d` and `max_pool`\n  --> net.toml:3\n  help: change or "
            "leave out one of the keys that the message names");
  EXPECT_EQ(complaint_about_layer("conv2d = 8, kernel = 3, strid = 2"),
            "error[E0203]: unknown key `strid` in `layers`\n  --> net.toml:3\n  help: did you mean `stride`? known keys: name, from, when, "
            "conv2d, groups, kernel, stride, dilation, padding, batch_norm, bias, init, bias_init, activation");
  EXPECT_EQ(complaint_about_layer("conv2d = 8, kernel = 3, init = { normal = 1, mean = 2 }"),
            "error[E0203]: unknown key `mean` in `init`\n  --> net.toml:3\n  help: known keys: normal");
  EXPECT_EQ(complaint_about_layer("flatten = false"),
            "error[E0204]: `flatten` is false: leave the layer out\n  --> net.toml:3\n  help: give a value of that kind and range");
}

TEST(NetworkErrors, Sizes) {
  EXPECT_EQ(complaint_about_layer("conv2d = 1000000000000, kernel = 3"),
            "error[E0204]: `conv2d` is 1000000000000, but must be at most 2147483647\n  --> net.toml:3\n  help: give a value of that kind "
            "and range");
  EXPECT_EQ(complaint_about_layer("conv2d = -1, kernel = 3"),
            "error[E0204]: `conv2d` is -1, but must be at least 1\n  --> net.toml:3\n  help: give a value of that kind and range");
  EXPECT_EQ(complaint_about_layer("conv2d = 8, kernel = 0"),
            "error[E0204]: `kernel` is 0, but must be at least 1\n  --> net.toml:3\n  help: give a value of that kind and range");
  EXPECT_EQ(complaint_about_layer("conv2d = 8, kernel = 3, padding = -1"),
            "error[E0204]: `padding` is -1, but must be at least 0\n  --> net.toml:3\n  help: give a value of that kind and range");
  EXPECT_EQ(complaint_about_layer("conv2d = 8, kernel = [1, 2, 3]"),
            "error[E0204]: `kernel` has 3 numbers, but takes one, or [height, width]\n  --> net.toml:3\n  help: give a value of that kind "
            "and range");
  EXPECT_EQ(complaint_about_layer("conv2d = 8, kernel = 3, padding = [1, 2, 3]"),
            "error[E0204]: `padding` has 3 numbers, but takes one, [height, width] or [top, bottom, left, right]\n  --> net.toml:3\n  "
            "help: give a value of that kind and range");
  EXPECT_EQ(
      complaint_about_layer("conv2d = 8, kernel = 3, padding = \"smae\""),
      "error[E0205]: `padding` is \"smae\", which is not known\n  --> net.toml:3\n  help: did you mean `same`? known values: same, valid");
  EXPECT_EQ(complaint_about_layer("conv2d = 8, kernal = 3"),
            "error[E0202]: key `kernel` is missing\n  --> net.toml:3\n  help: is `kernal` meant to be `kernel`?");
  EXPECT_EQ(complaint_about_layer("conv2d = 8, kernel = 2000000000, padding = 2000000000"),
            "error[E0207]: layer `conv1` cannot be built: shape (2000000029, 2000000029, 8) has more than 2^62 elements\n  --> "
            "net.toml:3\n  help: its input is 28 x 28 x 1");
  EXPECT_EQ(complaint_about_layer("conv2d = 2147483647, kernel = 28"),
            "error[E0208]: layer `conv1` is too large: its weight would have 1683627179248 elements\n  --> net.toml:3\n  help: make its "
            "sizes smaller");
  EXPECT_EQ(complaint_about_layer("conv2d = 1000000, kernel = 1, padding = 10000"),
            "error[E0208]: layer `conv1` is too large: it would need 4.0e+14 multiply-accumulates for one image\n  --> net.toml:3\n  help: "
            "make its sizes smaller");
  EXPECT_EQ(complaint_about_layer("dropout = 1"),
            "error[E0204]: `dropout` is 1, but must be below 1: it would drop everything\n  --> net.toml:3\n  help: give a value of that "
            "kind and range");
  EXPECT_EQ(complaint_about_layer("dropout = 0.99999999999"),
            "error[E0204]: `dropout` is 1, but must be below 1: it would drop everything\n  --> net.toml:3\n  help: give a value of that "
            "kind and range");
  EXPECT_EQ(complaint_about_layer("dropout = -0.5"),
            "error[E0204]: `dropout` is -0.5, but must be at least 0\n  --> net.toml:3\n  help: give a value of that kind and range");
}

TEST(NetworkErrors, Fit) {
  EXPECT_EQ(complaint_about_layer("conv2d = 8, kernel = 30"),
            "error[E0207]: layer `conv1` cannot be built: a window that spans 30 x 30 does not fit into an input of 28 x 28 (padding "
            "included)\n  --> net.toml:3\n  help: its input is 28 x 28 x 1");
  EXPECT_EQ(complaint_about_layer("conv2d = 8, kernel = 3, groups = 2"),
            "error[E0207]: layer `conv1` cannot be built: 2 groups do not divide 1 input and 8 output channels\n  --> net.toml:3\n  help: "
            "its input is 28 x 28 x 1");
  EXPECT_EQ(complaint_about_layer("max_pool = 2, padding = 2"),
            "error[E0207]: layer `pool1` cannot be built: a pooling window of 2 x 2 is padded by as much as its size\n  --> net.toml:3\n  "
            "help: its input is 28 x 28 x 1");
  EXPECT_EQ(complaint_about_layer("linear = 8"),
            "error[E0207]: layer `linear1` needs values in a row but gets an image of 28 x 28 x 1\n  --> net.toml:3\n  help: put `{ "
            "flatten = true },` in front of it");
  EXPECT_EQ(complaint_about_layer("flatten = true", "{ conv2d = 3, kernel = 1 }"),
            "error[E0207]: layer `conv1` needs an image (height, width, channels) but gets 784 values\n  --> net.toml:4\n  help: put it "
            "before the `flatten` layer");
  EXPECT_EQ(complaint_about_layer("flatten = true"),
            "error[E0207]: layer `flatten2` gets 784 values, which are flat already\n  --> net.toml:4\n  help: leave it out");
}

TEST(NetworkErrors, Names) {
  EXPECT_EQ(complaint_about_layer("max_pool = 2, name = \"a.b\""),
            "error[E0209]: the layer name `a.b` may have only letters, digits, `_` and `-`\n  --> net.toml:3\n  help: correct the name, or "
            "what refers to it");
  EXPECT_EQ(complaint_about_layer("max_pool = 2, name = \"\""),
            "error[E0209]: the layer name `` may have only letters, digits, `_` and `-`\n  --> net.toml:3\n  help: correct the name, or "
            "what refers to it");
  EXPECT_EQ(complaint_about_layer("max_pool = 2, name = \"linear1\""),
            "error[E0209]: two layers are named `linear1`\n  --> net.toml:5\n  note: the other one is in line 3\n  help: correct the name, "
            "or what refers to it");
}

TEST(NetworkErrors, End) {
  EXPECT_EQ(complaint_about_layer("max_pool = 2", ""),
            "error[E0211]: layer `pool1` is the last one, but gives an image of 14 x 14 x 1, not one value for each class\n  --> "
            "net.toml:3\n  help: end with `{ flatten = true },` and `{ linear = CLASSES },`");
  EXPECT_EQ(complaint_about_layer("flatten = true", "{ linear = 3, activation = \"sigmoid\" }"),
            "error[E0211]: layer `linear1` is the last one, but ends in an activation\n  --> net.toml:4\n  help: leave it out: the loss "
            "works on the values before it");
  EXPECT_EQ(complaint_about_layer("flatten = true", "{ linear = 3, activation = \"softmax\" }"),
            "error[E0205]: `activation` is \"softmax\", which is not known\n  --> net.toml:4\n  help: leave it out: the loss works on the "
            "values before the softmax");
  EXPECT_EQ(complaint_about_layer("flatten = true", "{ linear = 3, activation = \"rleu\" }"),
            "error[E0205]: `activation` is \"rleu\", which is not known\n  --> net.toml:4\n  help: did you mean `relu`? known activations: "
            "relu, sigmoid, tanh, leaky_relu, gelu, gelu_tanh, silu");
  EXPECT_EQ(complaint_about_layer("flatten = true", "{ linear = 1 }"),
            "error[E0211]: layer `linear1` gives one output, but softmax_cross_entropy takes one for each class\n  --> net.toml:4\n  help: "
            "set `loss = \"binary_cross_entropy\"`, or end with a linear layer of one output for each class");
  EXPECT_EQ(complaint_about("input = [2, 2, 1]\nloss = \"binary_cross_entropy\"\nlayers = [{ flatten = true },\n{ linear = 2 }]"),
            "error[E0211]: layer `linear1` gives 2 outputs, but binary_cross_entropy takes one\n  --> net.toml:4\n  help: end with `{ "
            "linear = 1 },`, or take the loss softmax_cross_entropy");
  EXPECT_EQ(complaint_about_layer("flatten = true", ""),
            "error[E0211]: the network has no weights to train\n  --> net.toml\n  help: add a conv2d or a linear layer");
}

TEST(Shipped, ATextIsFoundByNameAlsoInAFolderOfItsKind) {
  EXPECT_EQ(find_text(shipped_recipes, "lenet5_digits"), "recipes/lenet5_digits.toml");
  EXPECT_EQ(find_text(shipped_recipes, "4_lenet5"), "recipes/reports/4_lenet5.toml");
  const std::vector<std::string> names = names_of(shipped_recipes);
  for (const char* name : {"lenet5_digits", "4_lenet5"}) EXPECT_EQ(std::count(names.begin(), names.end(), name), 1) << name;
  const std::string said = complaint([] { find_text(shipped_recipes, "4_lenet"); });
  EXPECT_NE(said.find("did you mean `4_lenet5`? known recipes: 1_imagenette, "), std::string::npos) << said;
  std::string nearest_first = "looked in ";
  for (const std::filesystem::path& folder : data_folders("recipes")) nearest_first += folder.string() + ", ";
  EXPECT_NE(said.find(nearest_first + "recipes/reports"), std::string::npos) << "a folder in a nearer one hides a text: " << said;
}

TEST(NetworkErrors, UnknownNames) {
  const std::string said = complaint([] { load_network("lenet"); });
  EXPECT_EQ(said.substr(0, said.find('\n')), "error[E0206]: no network is named `lenet`");
  EXPECT_NE(said.find("note: looked in models, "), std::string::npos) << said;
  EXPECT_NE(
      said.find(
          "help: did you mean `lenet5`? known networks: binary_cnn, cats_dogs, cifar_cnn, imagenette_cnn, lenet5, logistic, mlp, "
          "mobilenet_v1, resnet18, "
          "resnet20, resnet32, resnet34, resnet50, resnet56, softmax, vgg16; a file of your own is given as a path that ends in .toml"),
      std::string::npos)
      << said;
  EXPECT_EQ(complaint([] { load_network("nowhere/net.toml"); }),
            "error[E0206]: there is no model file `nowhere/net.toml`\n  help: `fovea models` lists the networks; a file of your own is "
            "given as a path that ends in .toml");
  EXPECT_EQ(complaint([] { load_network("models/"); }),
            "error[E0206]: there is no model file `models/`\n  help: `fovea models` lists the networks; a file of your own is given as a "
            "path that ends in .toml");
}

TEST(NetworkErrors, OtherData) {
  const Network lenet5 = load_network("models/lenet5.toml"), logistic = load_network("models/logistic.toml");
  EXPECT_EQ(complaint([&] { check_fits(lenet5, {"mnist", 28, 28, 1, 10}); }), "no error");
  EXPECT_EQ(complaint([&] { check_fits(logistic, {"mnist", 28, 28, 1, 2}); }), "no error");
  EXPECT_EQ(complaint([&] {
              check_fits(lenet5, {"cifar10", 32, 32, 3, 10});
            }),
            "error[E0212]: network `lenet5` takes images of 28 x 28 x 1 but gets 32 x 32 x 3\n  --> models/lenet5.toml:3\n  note: data set "
            "`cifar10` has images of 32 x 32 x 3 in 10 classes\n  help: set input = [32, 32, 3] in the network's file, or choose another "
            "network");
  EXPECT_EQ(complaint([&] {
              check_fits(lenet5, {"letters", 28, 28, 1, 26});
            }),
            "error[E0212]: layer `linear3` gives 10 outputs, one for each class, but the data has 26 classes\n  --> "
            "models/lenet5.toml:14\n  note: data set `letters` has images of 28 x 28 x 1 in 26 classes\n  help: end the network with "
            "linear = 26, or with linear = \"$classes\" and say `classes = 26` in its file");
  EXPECT_EQ(complaint([&] {
              check_fits(logistic, {"mnist", 28, 28, 1, 10});
            }),
            "error[E0212]: layer `linear1` gives one output, which tells 2 classes apart, but the data has 10\n  --> "
            "models/logistic.toml:8\n  note: data set `mnist` has images of 28 x 28 x 1 in 10 classes\n  help: name the classes that count "
            "as yes in the recipe: positive = [\"...\"]");
}

}  // namespace
}  // namespace fovea::model
