// Initial weights: drawn on the host from Philox, a function of (seed, number of the parameter, element) alone.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/tensor/tensor.h"

namespace fovea::model {

struct Network;
struct Parameter;

// U(-b, b) or N(0, d^2); f_in, f_out: inputs that one output sees, outputs that one input reaches.
enum class Initializer : uint8_t {
  kaiming_uniform,  // b = sqrt(6 / f_in)            He et al., ICCV 2015, equation 10 (gain of ReLU)
  kaiming_normal,   // d = sqrt(2 / f_in)
  xavier_uniform,   // b = sqrt(6 / (f_in + f_out))  Glorot and Bengio, AISTATS 2010, equation 16
  xavier_normal,    // d = sqrt(2 / (f_in + f_out))
  lecun_uniform,    // b = sqrt(3 / f_in)            LeCun et al., "Efficient BackProp", 1998, section 4.6
  lecun_normal,     // d = sqrt(1 / f_in)
  pytorch_default,  // b = sqrt(1 / f_in)            what PyTorch's layers start with, biases included
  uniform,          // b given
  normal,           // d given
  zeros,
  ones,
};

struct Init {
  Initializer initializer = Initializer::kaiming_uniform;
  double value = 0;  // b of uniform, d of normal
  bool operator==(const Init&) const = default;
};

std::string_view name_of(Initializer initializer);
std::vector<std::string> initializer_names();
Initializer initializer_of(std::string_view name);  // throws Error (config)

// `weights`: host memory, f32 or f64 (the same numbers), one for each of network.parameters, in that order.
void draw_weights(const Network& network, uint64_t seed, std::span<const Tensor> weights);
void draw_weights(const Parameter& parameter, uint64_t seed, const Tensor& weights);

}  // namespace fovea::model
