// Initial weights: their distribution, and that they are a function of seed, parameter and element alone.
#include "fovea/model/init.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "fovea/base/error.h"
#include "fovea/base/philox.h"
#include "fovea/model/network.h"

namespace fovea::model {
namespace {

constexpr int64_t fan_in = 50, fan_out = 30;
constexpr size_t count = 200'003;

Parameter parameter(Init init) { return {"p", {static_cast<int64_t>(count)}, init, fan_in, fan_out, 3}; }

std::vector<float> draw(const Parameter& parameter, uint64_t seed) {
  std::vector<float> weights(static_cast<size_t>(parameter.shape.elements()));
  draw_weights(parameter, seed, {weights.data(), DType::f32, parameter.shape});
  return weights;
}

struct Moments {
  double mean = 0, deviation = 0, kurtosis = 0, largest = 0;
};
Moments moments_of(const std::vector<float>& weights) {
  const double n = static_cast<double>(weights.size());
  double sum = 0, square = 0, fourth = 0, largest = 0;
  for (const float weight : weights) {
    const double w = static_cast<double>(weight);
    sum += w;
    square += w * w;
    fourth += w * w * w * w;
    largest = std::max(largest, std::abs(w));
  }
  return {sum / n, std::sqrt(square / n), fourth * n / (square * square), largest};
}

struct Case {
  Init init;
  double scale;  // bound or deviation
};

TEST(Init, UniformOnesFillTheirBound) {
  const Case cases[] = {{{Initializer::kaiming_uniform}, std::sqrt(6.0 / 50)},
                        {{Initializer::xavier_uniform}, std::sqrt(6.0 / 80)},
                        {{Initializer::lecun_uniform}, std::sqrt(3.0 / 50)},
                        {{Initializer::pytorch_default}, std::sqrt(1.0 / 50)},
                        {{Initializer::uniform, 0.125}, 0.125}};
  for (const Case& c : cases) {
    const Moments moments = moments_of(draw(parameter(c.init), 7));
    const double deviation = c.scale / std::sqrt(3.0);
    EXPECT_NEAR(moments.mean, 0, 5 * deviation / std::sqrt(count)) << name_of(c.init.initializer);
    EXPECT_NEAR(moments.deviation, deviation, 0.01 * deviation) << name_of(c.init.initializer);
    EXPECT_NEAR(moments.kurtosis, 1.8, 0.02) << name_of(c.init.initializer);
    EXPECT_LE(moments.largest, static_cast<double>(static_cast<float>(c.scale))) << name_of(c.init.initializer);
    EXPECT_GT(moments.largest, 0.999 * c.scale) << name_of(c.init.initializer);
  }
}

TEST(Init, NormalOnesHaveTheirDeviation) {
  const Case cases[] = {{{Initializer::kaiming_normal}, std::sqrt(2.0 / 50)},
                        {{Initializer::xavier_normal}, std::sqrt(2.0 / 80)},
                        {{Initializer::lecun_normal}, std::sqrt(1.0 / 50)},
                        {{Initializer::normal, 0.02}, 0.02}};
  for (const Case& c : cases) {
    const Moments moments = moments_of(draw(parameter(c.init), 7));
    EXPECT_NEAR(moments.mean, 0, 5 * c.scale / std::sqrt(count)) << name_of(c.init.initializer);
    EXPECT_NEAR(moments.deviation, c.scale, 0.01 * c.scale) << name_of(c.init.initializer);
    EXPECT_NEAR(moments.kurtosis, 3, 0.06) << name_of(c.init.initializer);
    EXPECT_TRUE(std::isfinite(moments.largest)) << name_of(c.init.initializer);
  }
}

TEST(Init, ConstantOnes) {
  const std::vector<float> zeros = draw(parameter({Initializer::zeros}), 1), ones = draw(parameter({Initializer::ones}), 1);
  EXPECT_TRUE(std::all_of(zeros.begin(), zeros.end(), [](float w) { return w == 0; }));
  EXPECT_TRUE(std::all_of(ones.begin(), ones.end(), [](float w) { return w == 1; }));
}

TEST(Init, IsAFunctionOfSeedParameterAndElement) {
  const Parameter first = parameter({});
  Parameter other = first, shorter = first;
  other.number = 4;
  shorter.shape = {1001};
  const std::vector<float> weights = draw(first, 7), prefix = draw(shorter, 7);
  EXPECT_EQ(weights, draw(first, 7));
  EXPECT_NE(weights, draw(first, 8));
  EXPECT_NE(weights, draw(first, 7 + (uint64_t{1} << 32)));
  EXPECT_NE(weights, draw(other, 7));
  EXPECT_TRUE(std::equal(prefix.begin(), prefix.end(), weights.begin()));
}

TEST(Init, ElementIsTheDocumentedWordOfPhilox) {
  const Parameter p = parameter({});
  const std::vector<float> weights = draw(p, 7);
  const float bound = static_cast<float>(std::sqrt(6.0 / 50));
  for (const uint32_t i : {0u, 1u, 6u, 1003u}) {
    const float u = to_unit(philox(7, Draw::init, p.number, i / 4, 0).v[i % 4]);
    EXPECT_EQ(weights[i], bound * (2 * u - 1)) << i;
  }
}

TEST(Init, DoubleHoldsTheSameNumbers) {
  const Parameter p = parameter({Initializer::kaiming_normal});
  const std::vector<float> weights = draw(p, 7);
  std::vector<double> wide(count);
  draw_weights(p, 7, {wide.data(), DType::f64, p.shape});
  EXPECT_TRUE(std::equal(wide.begin(), wide.end(), weights.begin(), [](double a, float b) { return a == static_cast<double>(b); }));
}

TEST(Init, RefusesTensorsThatDoNotFit) {
  std::vector<float> weights(count);
  EXPECT_THROW(draw_weights(parameter({}), 1, {weights.data(), DType::f32, {5}}), Error);
  EXPECT_THROW(draw_weights(parameter({}), 1, {weights.data(), DType::i32, parameter({}).shape}), Error);
  EXPECT_THROW(draw_weights(load_network("softmax"), 1, {}), Error);
}

TEST(Init, NamesComeBack) {
  for (const std::string& name : initializer_names()) EXPECT_EQ(name_of(initializer_of(name)), name);
  try {
    initializer_of("kaiming_unifrom");
    FAIL();
  } catch (const Error& problem) {
    EXPECT_NE(std::string(problem.what()).find("did you mean `kaiming_uniform`?"), std::string::npos) << problem.what();
  }
}

}  // namespace
}  // namespace fovea::model
