// What a network's text becomes: layers, shapes, names and parameters.
#include "fovea/model/network.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

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

TEST(Network, ShippedOnesHaveTheirParameters) {
  EXPECT_EQ(load_network("lenet5").parameter_elements(), 61'706);
  EXPECT_EQ(load_network("cifar_cnn").parameter_elements(), 122'570);
  EXPECT_EQ(load_network("mlp").parameter_elements(), 669'706);
  EXPECT_EQ(load_network("softmax").parameter_elements(), 7'850);
  EXPECT_EQ(load_network("logistic").parameter_elements(), 785);
}

TEST(Network, ShippedOnesStateTheirParameters) {
  for (const std::string& name : list_networks()) {
    const Network network = load_network(name);
    std::string first_line = network.text.substr(0, network.text.find('\n'));
    std::erase(first_line, ',');
    const std::string stated = fmt::format(": {} parameters", network.parameter_elements());
    EXPECT_TRUE(first_line.ends_with(stated)) << first_line << " but counted are " << network.parameter_elements();
  }
}

TEST(Network, IsFoundByNameAndByPath) {
  EXPECT_EQ(list_networks(), (std::vector<std::string>{"cifar_cnn", "lenet5", "logistic", "mlp", "softmax"}));
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
  EXPECT_FALSE(conv.activation);
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
  EXPECT_EQ(conv.activation, Activation::tanh);
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
