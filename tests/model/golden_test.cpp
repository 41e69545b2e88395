// The same weights, pixels and labels here as in tools/make_golden.py.
#include "tests/golden/golden.h"

#include <gtest/gtest.h>

#include "fovea/base/sha256.h"
#include "fovea/model/network.h"

namespace fovea::model {
namespace {

TEST(Golden, ReadsEveryRun) {
  const std::vector<golden::Run> runs = golden::read_runs();
  EXPECT_EQ(runs.size(), 14u);
  for (const golden::Run& run : runs) {
    EXPECT_EQ(run.losses_f32.size(), 10u) << run.name;
    EXPECT_EQ(run.losses_f64.size(), 10u) << run.name;
    EXPECT_EQ(run.gradient_norms.size() + run.running_norms.size(), load_network(run.model).parameters.size()) << run.name;
  }
}

TEST(Golden, DrawsTheSameWeights) {
  for (const golden::Run& run : golden::read_runs()) {
    const Network network = load_network(run.model);
    std::vector<float> all(static_cast<size_t>(network.parameter_elements()));
    std::vector<Tensor> tensors;
    float* place = all.data();
    for (const Parameter& parameter : network.parameters) {
      tensors.push_back({place, DType::f32, parameter.shape});
      place += parameter.shape.elements();
    }
    draw_weights(network, run.seed, tensors);
    EXPECT_EQ(sha256(std::as_bytes(std::span(all))), run.weights_sha256) << run.name;
  }
}

TEST(Golden, DrawsTheSameData) {
  for (const golden::Run& run : golden::read_runs()) {
    const Network network = load_network(run.model);
    const size_t images = static_cast<size_t>(run.images), bytes = images * static_cast<size_t>(network.h * network.w * network.c);
    const uint32_t classes = network.outputs == 1 ? 2 : static_cast<uint32_t>(network.outputs);
    const std::vector<uint8_t> pixels = golden::draw_pixels(run.seed, bytes);
    const std::vector<int32_t> labels = golden::draw_labels(run.seed, images, classes);
    EXPECT_EQ(sha256(std::as_bytes(std::span(pixels))), run.pixels_sha256) << run.name;
    EXPECT_EQ(sha256(std::as_bytes(std::span(labels))), run.labels_sha256) << run.name;
  }
}

}  // namespace
}  // namespace fovea::model
