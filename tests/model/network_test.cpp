// What a network's text becomes: layers, shapes, names and parameters.
#include "fovea/model/network.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "fovea/base/error.h"
#include "fovea/base/file.h"
#include "fovea/model/summary.h"

namespace fovea::model {
namespace {

Network parse(const std::string& layers, const std::string& head = "input = [28, 28, 1]\n") {
  return parse_network(head + "layers = [\n" + layers + "\n]\n", "net.toml");
}

template <class Kind>
const Kind& kind_of(const Network& network, size_t layer) {
  return std::get<Kind>(network.layers[layer].kind);
}

struct Published {
  const char* name;
  int64_t trained, not_trained;
};
constexpr Published published[] = {
    // As the tutorials of several frameworks count it
    {"lenet5", 61'706, 0},
    // TensorFlow's tutorial "Convolutional Neural Network (CNN)"
    {"cifar_cnn", 122'570, 0},
    // Keras' example mnist_mlp
    {"mlp", 669'706, 0},
    // 784 x 10 + 10, and 784 + 1
    {"softmax", 7'850, 0},
    {"logistic", 785, 0},
    // 21,463,713 as Keras counts, with the statistics of two batch norms of 2048
    {"cats_dogs", 21'455'521, 8'192},
    // By hand: 32 (27 + 1) + 32 (288 + 1) + 64 (23 23 32 + 1) + 64 + 1
    {"binary_cnn", 1'093'665, 0},
    // By hand: 32 (27 + 1) + 64 (288 + 1) + 128 (576 + 1) + 128 (1152 + 1) + 128 (8 8 128 + 1) + 10 (128 + 1)
    {"imagenette_cnn", 1'290'826, 0},
    // torchvision and Keras; configuration D of Simonyan and Zisserman 2015, table 2: 138 million
    {"vgg16", 138'357'544, 0},
    // torchvision's table of weights
    {"resnet18", 11'689'512, 9'600},
    {"resnet34", 21'797'672, 17'024},
    {"resnet50", 25'557'032, 53'120},
    // He et al. 2016, table 6: 0.27, 0.46 and 0.85 million; to the unit as Y. Idelbayev's pytorch_resnet_cifar10, option A
    {"resnet20", 269'722, 1'376},
    {"resnet32", 464'154, 2'272},
    {"resnet56", 853'018, 4'064},
    // Keras: 4,253,864 in all; Howard et al. 2017, table 4: 4.2 million
    {"mobilenet_v1", 4'231'976, 21'888},
};

TEST(Network, ShippedOnesHaveThePublishedParameters) {
  EXPECT_EQ(std::size(published), list_networks().size());
  for (const Published& expected : published) {
    const Network network = load_network(expected.name);
    EXPECT_EQ(network.trained_elements(), expected.trained) << expected.name;
    EXPECT_EQ(network.parameter_elements() - network.trained_elements(), expected.not_trained) << expected.name;
  }
}

// Multiply-accumulates for one image. Sources: torchvision's table of weights states GFLOPs of 1.81, 3.66, 4.09 and 15.47 in
// multiply-accumulates; Howard et al. 2017, table 4: 569 million; by hand for resnet20.
TEST(Network, ShippedOnesHaveThePublishedWork) {
  EXPECT_EQ(macs_per_image(load_network("resnet18")), 1'814'073'344);
  EXPECT_EQ(macs_per_image(load_network("resnet34")), 3'663'761'408);
  EXPECT_EQ(macs_per_image(load_network("resnet50")), 4'089'184'256);
  EXPECT_EQ(macs_per_image(load_network("vgg16")), 15'470'264'320);
  EXPECT_EQ(macs_per_image(load_network("mobilenet_v1")), 568'740'352);
  EXPECT_EQ(macs_per_image(load_network("resnet20")), 40'551'040);
}

TEST(Network, ResNet50TakesFewLines) {
  const std::string text = load_network("resnet50").text;
  EXPECT_LE(std::count(text.begin(), text.end(), '\n'), 40);
}

TEST(Network, ShippedOnesStateTheirParameters) {
  for (const std::string& name : list_networks()) {
    const Network network = load_network(name);
    std::string first_line = network.text.substr(0, network.text.find('\n'));
    std::erase(first_line, ',');
    const int64_t trained = network.trained_elements(), others = network.parameter_elements() - trained;
    const std::string stated =
        fmt::format(": {} parameters{}", trained, others > 0 ? fmt::format(" and {} running statistics", others) : "");
    EXPECT_TRUE(first_line.ends_with(stated)) << first_line << " but counted are " << network.parameter_elements();
  }
}

TEST(Network, IsFoundByNameAndByPath) {
  EXPECT_EQ(list_networks(),
            (std::vector<std::string>{"binary_cnn", "cats_dogs", "cifar_cnn", "imagenette_cnn", "lenet5", "logistic", "mlp", "mobilenet_v1",
                                      "resnet18", "resnet20", "resnet32", "resnet34", "resnet50", "resnet56", "softmax", "vgg16"}));
  const Network network = load_network("models/lenet5.toml");
  EXPECT_EQ(network.name, "lenet5");
  EXPECT_EQ(network.file, "models/lenet5.toml");
  EXPECT_EQ(network.text, read_file("models/lenet5.toml"));
  EXPECT_EQ(network.text, load_network("lenet5").text);
}

TEST(Network, Lenet5HasItsShapes) {
  const Network network = load_network("lenet5");
  ASSERT_EQ(network.layers.size(), 8u);
  const Shape expected[] = {{28, 28, 6}, {14, 14, 6}, {10, 10, 16}, {5, 5, 16}, {400}, {120}, {84}, {10}};
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(network.layers[i].out, expected[i]) << network.layers[i].name;
  for (size_t i = 1; i < 8; ++i) EXPECT_EQ(network.layers[i].in, expected[i - 1]);
  EXPECT_EQ(network.layers[0].in, (Shape{28, 28, 1}));
  EXPECT_EQ(network.layers[2].line, 9);
  EXPECT_EQ(network.outputs, 10);
  EXPECT_EQ(network.loss, Loss::softmax_cross_entropy);
  EXPECT_EQ(network.parameters[2].name, "conv2.weight");
  EXPECT_EQ(network.parameters[2].shape, (Shape{16, 5, 5, 6}));
  EXPECT_EQ(network.parameters[2].fan_in, 150);
  EXPECT_EQ(network.parameters[2].fan_out, 400);
  EXPECT_EQ(network.parameters[2].number, 2u);
  EXPECT_EQ(network.parameters[3].shape, (Shape{16}));
  EXPECT_EQ(network.parameters[3].init, (Init{Initializer::zeros, 0}));
  EXPECT_EQ(network.parameter("linear3.weight").shape, (Shape{10, 84}));
  EXPECT_THROW(network.parameter("linear4.weight"), Error);
}

TEST(Network, DefaultNamesCountTheirKind) {
  const Network network = parse(R"(
    { conv2d = 2, kernel = 3 }, { max_pool = 2 }, { activation = "relu" }, { conv2d = 2, kernel = 3, name = "middle" }, { avg_pool = 2 },
    { conv2d = 2, kernel = 3 }, { dropout = 0.5 }, { flatten = true }, { linear = 4 }, { dropout = 0.25 }, { linear = 3 })");
  std::vector<std::string> names;
  for (const Layer& layer : network.layers) names.push_back(layer.name);
  EXPECT_EQ(names, (std::vector<std::string>{"conv1", "pool1", "activation1", "middle", "pool2", "conv3", "dropout1", "flatten1", "linear1",
                                             "dropout2", "linear2"}));
  std::set<std::string> parameters;
  for (const Parameter& parameter : network.parameters) EXPECT_TRUE(parameters.insert(parameter.name).second) << parameter.name;
  EXPECT_TRUE(parameters.contains("middle.bias"));
  EXPECT_EQ(kind_of<DropoutLayer>(network, 6).number, 0u);
  EXPECT_EQ(kind_of<DropoutLayer>(network, 9).number, 1u);
  EXPECT_EQ(kind_of<DropoutLayer>(network, 9).rate, 0.25f);
}

TEST(Network, StatesItsDefaults) {
  const Network network = parse("{ conv2d = 2, kernel = 3 }, { max_pool = [2, 3] }, { avg_pool = 2 }, { flatten = true }, { linear = 3 }");
  const Conv2dLayer& conv = kind_of<Conv2dLayer>(network, 0);
  EXPECT_EQ(conv.shape.window, (Window{3, 3}));
  EXPECT_EQ(conv.shape.groups, 1);
  EXPECT_EQ(conv.bias, Bias::yes);
  EXPECT_FALSE(network.layers[0].activation);
  EXPECT_EQ(kind_of<MaxPoolLayer>(network, 1).shape.window, (Window{2, 3, 2, 3}));
  EXPECT_EQ(kind_of<AvgPoolLayer>(network, 2).count_padding, CountPadding::no);
  EXPECT_EQ(network.parameters[0].init, (Init{Initializer::kaiming_uniform, 0}));
  EXPECT_EQ(network.name, "net");
}

TEST(Network, ReadsEveryKeyOfAConvolution) {
  const Network network = parse(R"(
{ conv2d = 6, kernel = [3, 2], stride = [1, 2], padding = [1, 0, 2, 3], dilation = [2, 1], groups = 2, bias = false, activation = "tanh" },
    { flatten = true }, { linear = 3, bias = false })",
                                "input = [12, 9, 4]\n");
  const Conv2dLayer& conv = kind_of<Conv2dLayer>(network, 0);
  EXPECT_EQ(conv.shape.window, (Window{3, 2, 1, 2, 1, 0, 2, 3, 2, 1}));
  EXPECT_EQ(conv.shape.groups, 2);
  EXPECT_EQ(network.layers[0].activation, Activation::tanh);
  ASSERT_EQ(network.parameters.size(), 2u);
  EXPECT_EQ(network.parameters[0].shape, (Shape{6, 3, 2, 2}));
  EXPECT_EQ(network.parameters[0].fan_in, 12);
  EXPECT_EQ(network.parameters[0].fan_out, 18);
}

TEST(Network, PadsAsAsked) {
  const auto window = [](const std::string& keys) {
    return kind_of<Conv2dLayer>(parse("{ conv2d = 2, " + keys + " }, { flatten = true }, { linear = 3 }"), 0).shape.window;
  };
  EXPECT_EQ(window("kernel = 3, padding = 1"), (Window{3, 3, 1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(window("kernel = 3, padding = [1, 2]"), (Window{3, 3, 1, 1, 1, 1, 2, 2}));
  EXPECT_EQ(window("kernel = 3, padding = \"valid\""), (Window{3, 3}));
  EXPECT_EQ(window("kernel = 3, padding = \"same\""), (Window{3, 3, 1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(window("kernel = 4, padding = \"same\""), (Window{4, 4, 1, 1, 1, 2, 1, 2}));
  EXPECT_EQ(window("kernel = 3, stride = 2, padding = \"same\""), (Window{3, 3, 2, 2, 0, 1, 0, 1}));
  EXPECT_EQ(window("kernel = 1, stride = 3, padding = \"same\""), (Window{1, 1, 3, 3}));
  EXPECT_EQ(window("kernel = 3, dilation = 2, padding = \"same\""), (Window{3, 3, 1, 1, 2, 2, 2, 2, 2, 2}));
}

TEST(Network, ReadsInitialisers) {
  const Network network =
      parse(R"({ conv2d = 2, kernel = 3, init = { normal = 0.02 }, bias_init = "ones" }, { flatten = true }, { linear = 3 })",
            "input = [8, 8, 1]\ninit = \"xavier_normal\"\nbias_init = { uniform = 0.5 }\n");
  EXPECT_EQ(network.parameter("conv1.weight").init, (Init{Initializer::normal, 0.02}));
  EXPECT_EQ(network.parameter("conv1.bias").init, (Init{Initializer::ones, 0}));
  EXPECT_EQ(network.parameter("linear1.weight").init, (Init{Initializer::xavier_normal, 0}));
  EXPECT_EQ(network.parameter("linear1.bias").init, (Init{Initializer::uniform, 0.5}));
}

TEST(Network, TakesLayersAsTables) {
  const Network network = parse_network("input = [4, 4, 1]\n[[layers]]\nflatten = true\n[[layers]]\nlinear = 2\n", "net.toml");
  EXPECT_EQ(network.outputs, 2);
  EXPECT_EQ(network.layers[1].line, 4);
}

TEST(Network, ReadsBatchNorms) {
  const Network network = parse(R"(
    { conv2d = 4, kernel = 3, batch_norm = { scale_init = "zeros", epsilon = 0.25 }, activation = "relu" },
    { conv2d = 4, kernel = 3, bias = true, batch_norm = true },
    { flatten = true }, { linear = 6, batch_norm = false }, { batch_norm = true, activation = "silu" }, { linear = 3 })",
                                "input = [8, 8, 1]\nbatch_norm = { momentum = 0.01 }\n");
  std::vector<std::string> names;
  for (const Parameter& parameter : network.parameters) names.push_back(parameter.name);
  EXPECT_EQ(names,
            (std::vector<std::string>{"conv1.weight", "conv1.batch_norm.weight", "conv1.batch_norm.bias", "conv1.batch_norm.running_mean",
                                      "conv1.batch_norm.running_variance", "conv2.weight", "conv2.bias", "conv2.batch_norm.weight",
                                      "conv2.batch_norm.bias", "conv2.batch_norm.running_mean", "conv2.batch_norm.running_variance",
                                      "linear1.weight", "linear1.bias", "batch_norm1.weight", "batch_norm1.bias",
                                      "batch_norm1.running_mean", "batch_norm1.running_variance", "linear2.weight", "linear2.bias"}));
  EXPECT_EQ(network.layers[0].batch_norm->epsilon, 0.25f);
  EXPECT_EQ(network.layers[0].batch_norm->momentum, 0.01f);
  EXPECT_EQ(network.layers[1].batch_norm->epsilon, 1e-5f);
  EXPECT_FALSE(network.layers[3].batch_norm);
  EXPECT_EQ(network.layers[4].activation, Activation::silu);
  EXPECT_EQ(network.parameter("batch_norm1.running_mean").shape, (Shape{6}));
  EXPECT_EQ(network.parameter("conv1.batch_norm.weight").init, (Init{Initializer::zeros, 0}));
  EXPECT_EQ(network.parameter("conv2.batch_norm.weight").init, (Init{Initializer::ones, 0}));
  EXPECT_EQ(network.parameter("conv2.batch_norm.running_mean").init, (Init{Initializer::zeros, 0}));
  EXPECT_EQ(network.parameter("conv2.batch_norm.running_variance").init, (Init{Initializer::ones, 0}));
  for (const Parameter& parameter : network.parameters)
    EXPECT_EQ(parameter.trained == Trained::no, parameter.name.find("running") != std::string::npos) << parameter.name;
  EXPECT_EQ(network.parameter_elements() - network.trained_elements(), 2 * (4 + 4 + 6));
}

TEST(Network, ReadsActivationsWithTheirSlope) {
  const Network network = parse(R"({ conv2d = 2, kernel = 1, activation = "leaky_relu", slope = 0.25 }, { activation = "leaky_relu" },
    { activation = "gelu_tanh" }, { flatten = true }, { linear = 3 })");
  EXPECT_EQ(network.layers[0].activation, Activation::leaky_relu);
  EXPECT_EQ(network.layers[0].slope, 0.25f);
  EXPECT_EQ(network.layers[1].slope, 0.01f);
  EXPECT_EQ(network.layers[2].activation, Activation::gelu_tanh);
}

TEST(Network, ConvolvesEachChannelByItself) {
  const Network network = parse("{ depthwise_conv2d = 2, kernel = 3 }, { flatten = true }, { linear = 3 }", "input = [5, 5, 4]\n");
  EXPECT_EQ(kind_of<Conv2dLayer>(network, 0).shape.groups, 4);
  EXPECT_EQ(network.layers[0].out, (Shape{3, 3, 8}));
  EXPECT_EQ(network.parameters[0].shape, (Shape{8, 3, 3, 1}));
}

TEST(Network, RoundsPoolsAsAsked) {
  const auto out = [](const std::string& keys) {
    return parse("{ max_pool = 3, stride = 2" + keys + " }, { global_avg_pool = true }, { linear = 3 }", "input = [8, 8, 4]\n")
        .layers[0]
        .out;
  };
  EXPECT_EQ(out(""), (Shape{3, 3, 4}));
  EXPECT_EQ(out(", rounding = \"floor\""), (Shape{3, 3, 4}));
  EXPECT_EQ(out(", rounding = \"ceil\""), (Shape{4, 4, 4}));
}

TEST(Network, JoinsBranches) {
  const Network network = parse(R"(
    { conv2d = 4, kernel = 3, padding = 1, name = "left" },
    { conv2d = 4, kernel = 1, from = "input", name = "right" },
    { add = ["left", "right"], activation = "relu" },
    { concat = "left" },
    { concat = ["input", "right", "concat1"] },
    { shortcut = 16, stride = 3 },
    { global_avg_pool = true }, { linear = 3 })",
                                "input = [8, 8, 2]\n");
  const std::vector<int> from[] = {{image_input}, {image_input}, {0, 1}, {2, 0}, {image_input, 1, 3}, {4}, {5}, {6}};
  const Shape out[] = {{8, 8, 4}, {8, 8, 4}, {8, 8, 4}, {8, 8, 8}, {8, 8, 14}, {3, 3, 16}, {16}, {3}};
  for (size_t i = 0; i < std::size(from); ++i) {
    EXPECT_EQ(network.layers[i].from, from[i]) << i;
    EXPECT_EQ(network.layers[i].out, out[i]) << i;
  }
  EXPECT_EQ(network.layers[2].activation, Activation::relu);
}

TEST(Network, TakesTheClassesOfTheData) {
  const std::string text = "input = [4, 4, 1]\nclasses = 10\nlayers = [{ flatten = true }, { linear = \"$classes\" }]\n";
  const Network network = parse_network(text, "net.toml");
  EXPECT_EQ(network.outputs, 10);
  EXPECT_EQ(fitted(network, {"letters", 4, 4, 1, 26}).outputs, 26);
  EXPECT_EQ(fitted(network, {"letters", 4, 4, 1, 26}).parameter("linear1.weight").shape, (Shape{26, 16}));
  EXPECT_EQ(parse_network(text, "net.toml", 3).outputs, 3);
  EXPECT_EQ(parse_network("input = [4, 4, 1]\nlayers = [{ flatten = true }, { linear = 5 }]\n", "net.toml", 3).outputs, 5);
}

TEST(Summary, ShowsBranchesAndWhatIsTrained) {
  const std::string text = summary(load_network("resnet20"));
  for (const char* part : {"layer1.0.conv1", "conv2d 3x3 /2 + batch_norm + relu", "shortcut (identity)", "shortcut /2, zero channels",
                           "conv2, shortcut1\n", "  from\n", "271,098 (1,084,392 bytes as f32): 269,722 trained, 1,376 not"})
    EXPECT_NE(text.find(part), std::string::npos) << part << " is not in\n" << text;
  EXPECT_NE(summary(load_network("mobilenet_v1")).find("depthwise_conv2d 3x3 /2 + batch_norm + relu"), std::string::npos);
  EXPECT_EQ(summary(load_network("lenet5")).find("from"), std::string::npos);
}

TEST(Summary, ShowsLayersAndTotals) {
  const std::string text = summary(load_network("lenet5"));
  for (const char* part :
       {"conv1", "conv2d 5x5 + relu", "28 x 28 x 6", "2,416", "240,000", "parameters: 61,706", "246,824 bytes", "MACs: 416,520"})
    EXPECT_NE(text.find(part), std::string::npos) << part << " is not in\n" << text;
  EXPECT_EQ(macs_per_image(load_network("lenet5")), 416'520);
  EXPECT_EQ(macs_per_image(load_network("softmax")), 7'840);
}

}  // namespace
}  // namespace fovea::model
