// The activations of one element, the same wherever they are applied: alone, or at the end of a product.
#pragma once

#include "fovea/graph/op.h"

namespace fovea::cuda {

__device__ inline float sigmoid(float x) { return 1 / (1 + expf(-x)); }

// gelu_tanh is x / 2 (1 + tanh(root (x + cube x^3))).
constexpr float gelu_root = 0.7978845608f, gelu_cube = 0.044715f;
__device__ inline float gelu_bend(float x) { return tanhf(gelu_root * x * fmaf(gelu_cube * x, x, 1.0f)); }

__device__ inline float activate(Activation activation, float x, float slope = 0) {
  switch (activation) {
    case Activation::relu:
      return x <= 0 ? 0 : x;  // NaN stays NaN
    case Activation::sigmoid:
      return sigmoid(x);
    case Activation::tanh:
      return tanhf(x);
    case Activation::leaky_relu:
      return x <= 0 ? slope * x : x;
    case Activation::gelu:
      return x * normcdff(x);
    case Activation::gelu_tanh:
      return x / 2 * (1 + gelu_bend(x));
    case Activation::silu:
      return x * sigmoid(x);
  }
  return x;
}

// `at` is y, or x where gradient_reads_input says so.
__device__ inline float activation_gradient(Activation activation, float at, float dy, float slope = 0) {
  switch (activation) {
    case Activation::relu:
      return at <= 0 ? 0 : dy;
    case Activation::sigmoid:
      return dy * at * (1 - at);
    case Activation::tanh:
      return dy * (1 - at * at);
    case Activation::leaky_relu:
      return at <= 0 ? slope * dy : dy;
    case Activation::gelu:
      return dy * fmaf(at, 0.3989422804f * expf(-at * at / 2), normcdff(at));
    case Activation::gelu_tanh: {
      const float bend = gelu_bend(at);
      return dy * fmaf(at / 2 * (1 - bend * bend), gelu_root * fmaf(3 * gelu_cube * at, at, 1.0f), (1 + bend) / 2);
    }
    case Activation::silu: {
      const float gate = sigmoid(at);
      return dy * gate * fmaf(at, 1 - gate, 1.0f);
    }
  }
  return dy;
}

// The same for relu, whose slope is 0 here, and leaky_relu: activations whose y tells where they bend.
__device__ inline float bent_gradient(float y, float dy, float slope) { return y > 0 || isnan(y) ? dy : slope == 0 ? 0 : slope * dy; }

}  // namespace fovea::cuda
