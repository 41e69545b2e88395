// Philox counter: (Draw::init, number of the parameter, element / 4, 0); the four words give four elements.
#include "fovea/model/init.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <numbers>

#include "fovea/base/error.h"
#include "fovea/base/philox.h"
#include "fovea/model/nearest.h"
#include "fovea/model/network.h"

namespace fovea::model {
namespace {

constexpr std::array<std::string_view, 11> names = {
    "kaiming_uniform", "kaiming_normal", "xavier_uniform", "xavier_normal", "lecun_uniform", "lecun_normal",
    "pytorch_default", "uniform",        "normal",         "zeros",         "ones"};

enum class Distribution : uint8_t { constant, uniform, normal };
struct Source {
  Distribution distribution;
  double scale;  // the constant, the bound or the standard deviation
};

Source source_of(const Parameter& parameter) {
  const double in = static_cast<double>(parameter.fan_in), out = static_cast<double>(parameter.fan_out);
  switch (parameter.init.initializer) {
    case Initializer::kaiming_uniform:
      return {Distribution::uniform, std::sqrt(6 / in)};
    case Initializer::kaiming_normal:
      return {Distribution::normal, std::sqrt(2 / in)};
    case Initializer::xavier_uniform:
      return {Distribution::uniform, std::sqrt(6 / (in + out))};
    case Initializer::xavier_normal:
      return {Distribution::normal, std::sqrt(2 / (in + out))};
    case Initializer::lecun_uniform:
      return {Distribution::uniform, std::sqrt(3 / in)};
    case Initializer::lecun_normal:
      return {Distribution::normal, std::sqrt(1 / in)};
    case Initializer::pytorch_default:
      return {Distribution::uniform, std::sqrt(1 / in)};
    case Initializer::uniform:
      return {Distribution::uniform, parameter.init.value};
    case Initializer::normal:
      return {Distribution::normal, parameter.init.value};
    case Initializer::zeros:
      return {Distribution::constant, 0};
    case Initializer::ones:
      return {Distribution::constant, 1};
  }
  throw Error(ExitCode::internal, fmt::format("parameter `{}` has no initialiser", parameter.name));
}

using Four = std::array<float, 4>;

// 2 u - 1 is exact: 24 bits. So each weight is rounded once.
Four uniform4(const Random4& bits, float bound) {
  Four four;
  for (size_t i = 0; i < 4; ++i) four[i] = bound * (2 * to_unit(bits.v[i]) - 1);
  return four;
}

// Box and Muller 1958, in double; 1 - u lies in (0, 1].
Four normal4(const Random4& bits, double deviation) {
  Four four;
  for (size_t i = 0; i < 4; i += 2) {
    const double radius = std::sqrt(-2 * std::log(1 - static_cast<double>(to_unit(bits.v[i]))));
    const double angle = 2 * std::numbers::pi * to_unit(bits.v[i + 1]);
    four[i] = static_cast<float>(deviation * radius * std::cos(angle));
    four[i + 1] = static_cast<float>(deviation * radius * std::sin(angle));
  }
  return four;
}

template <class T>
void fill(const Parameter& parameter, uint64_t seed, std::span<T> weights) {
  const auto [distribution, scale] = source_of(parameter);
  for (size_t begin = 0; begin < weights.size(); begin += 4) {
    const uint64_t block = begin / 4;
    const Random4 bits = philox(seed, Draw::init, parameter.number, static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32));
    Four four;
    switch (distribution) {
      case Distribution::constant:
        four.fill(static_cast<float>(scale));
        break;
      case Distribution::uniform:
        four = uniform4(bits, static_cast<float>(scale));
        break;
      case Distribution::normal:
        four = normal4(bits, scale);
        break;
    }
    for (size_t i = 0; i < 4 && begin + i < weights.size(); ++i) weights[begin + i] = four[i];
  }
}

}  // namespace

std::string_view name_of(Initializer initializer) { return names[static_cast<size_t>(initializer)]; }

std::vector<std::string> initializer_names() { return {names.begin(), names.end()}; }

Initializer initializer_of(std::string_view name) {
  for (size_t i = 0; i < names.size(); ++i)
    if (names[i] == name) return static_cast<Initializer>(i);
  throw Error(ErrorId::unknown_name, fmt::format("initialiser `{}` is not known", name))
      .help(suggestion(name, "initialisers", initializer_names()));
}

void draw_weights(const Network& network, uint64_t seed, std::span<const Tensor> weights) {
  if (weights.size() != network.parameters.size())
    throw Error(ExitCode::internal, fmt::format("network `{}` has {} parameters but {} tensors are given", network.name,
                                                network.parameters.size(), weights.size()));
  for (size_t i = 0; i < weights.size(); ++i) draw_weights(network.parameters[i], seed, weights[i]);
}

void draw_weights(const Parameter& parameter, uint64_t seed, const Tensor& weights) {
  if (weights.shape.elements() != parameter.shape.elements())
    throw Error(ExitCode::internal, fmt::format("parameter `{}` is {} but the tensor given is {}", parameter.name, parameter.shape.text(),
                                                weights.shape.text()));
  switch (weights.dtype) {
    case DType::f32:
      return fill(parameter, seed, weights.as<float>());
    case DType::f64:
      return fill(parameter, seed, weights.as<double>());
    default:
      throw Error(ExitCode::internal, fmt::format("parameter `{}` cannot be {}", parameter.name, fovea::name_of(weights.dtype)));
  }
}

}  // namespace fovea::model
