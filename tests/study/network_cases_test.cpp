// The layers of a network as cases: each different one once, under the name of the first.
#include "fovea/study/network_cases.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "fovea/train/step_graph.h"

namespace fovea::study {
namespace {

std::map<std::string, NetworkCase> cases_by_name(const std::string& model, int64_t batch) {
  std::map<std::string, NetworkCase> cases;
  for (NetworkCase& one : network_cases(model::load_network(model), batch)) {
    const std::string name = one.op_case.name;
    EXPECT_TRUE(cases.try_emplace(name, std::move(one)).second) << name << " twice";
  }
  return cases;
}

TEST(NetworkCases, HaveTheShapesOfTheirLayers) {
  const auto cases = cases_by_name("lenet5", 64);
  const Conv2dShape conv2 = std::get<Conv2dBackwardData>(cases.at("lenet5-b64/conv2/conv2d_backward_data").op_case.op).shape;
  EXPECT_EQ(conv2.x(), (Shape{64, 14, 14, 6}));
  EXPECT_EQ(conv2.filter(), (Shape{16, 5, 5, 6}));
  EXPECT_FALSE(cases.contains("lenet5-b64/conv1/conv2d_backward_data")) << "nothing stands in front of the first layer";
  EXPECT_TRUE(cases.contains("lenet5-b64/update/update"));
  EXPECT_EQ(cases.at("lenet5-b64/data/augment").op_case.control.images, 64u);
}

TEST(NetworkCases, AreEachThereOnceAndCountTheOthers) {
  const model::Network network = model::load_network("resnet20");
  int64_t layers = 0, convolutions = 0;
  for (const NetworkCase& one : network_cases(network, 8)) {
    layers += one.layers;
    if (std::holds_alternative<Conv2dForward>(one.op_case.op)) ++convolutions;
  }
  EXPECT_EQ(convolutions, 6) << "the stem, three widths, and two with a stride";
  const std::vector<float> half(3, 0.5f);
  train::Recipe recipe;
  recipe.optimizer = "adam";
  int64_t nodes = 0;
  for (const graph::Node& node : train::training_graph(network, recipe, {half, half}, {.images = 8, .batch = 8}).nodes)
    if (!std::holds_alternative<Flatten>(node.op)) ++nodes;
  EXPECT_EQ(layers, nodes);
}

TEST(NetworkCases, EveryShippedNetworkHasAUsualBatch) {
  for (const std::string& name : model::list_networks()) EXPECT_GE(usual_batch(name), 16) << name;
  EXPECT_EQ(usual_batch("lenet5"), 64);
  EXPECT_EQ(usual_batch("resnet18"), 32);
}

}  // namespace
}  // namespace fovea::study
