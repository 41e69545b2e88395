// The activations of one element, the same wherever they are applied: alone, or at the end of a product.
#pragma once

#include "fovea/graph/op.h"

namespace fovea::cuda {

__device__ inline float activate(Activation activation, float x) {
  switch (activation) {
    case Activation::relu:
      return x <= 0 ? 0 : x;  // NaN stays NaN
    case Activation::sigmoid:
      return 1 / (1 + expf(-x));
    case Activation::tanh:
      return tanhf(x);
  }
  return x;
}

__device__ inline float activation_gradient(Activation activation, float y, float dy) {
  switch (activation) {
    case Activation::relu:
      return y <= 0 ? 0 : dy;
    case Activation::sigmoid:
      return dy * y * (1 - y);
    case Activation::tanh:
      return dy * (1 - y * y);
  }
  return dy;
}

}  // namespace fovea::cuda
