// A product in the order that its shape alone decides: how it is cut into tiles and parts of its sum, and how the parts are added up.
#pragma once

#include <string>

#include "fovea/backend/cuda/kernel.h"
#include "fovea/base/philox.h"

namespace fovea::cuda {

enum class Finish : uint8_t { nothing, relu, sigmoid, tanh, leaky_relu, gelu, gelu_tanh, silu };  // leaky_relu with a slope of 0
inline Finish finish_of(Activation activation) { return static_cast<Finish>(static_cast<int>(activation) + 1); }

// Where the elements of a product go and what is done to each: bias, activation, overwriting or adding.
struct Epilogue {
  float* out = nullptr;
  int stride_m = 0, stride_n = 1;
  int group = 0;  // from one group's output to the next one's
  Into into = Into::overwrite;
  Finish finish = Finish::nothing;
  const float* bias = nullptr;  // (groups n); nullptr: none
};

constexpr int tile_k = 16;

// sum_k a(m, k) b(n, k) for each group. The sum is cut into `parts` of `tiles_per_part` tiles of tile_k products each.
struct Product {
  int m = 1, n = 1, k = 1, groups = 1;
  int tile_m = 64, tile_n = 64;
  int parts = 1, tiles_per_part = 1;

  int tiles() const { return ((m + tile_m - 1) / tile_m) * ((n + tile_n - 1) / tile_n) * groups; }
  FOVEA_HOST_DEVICE int elements() const { return groups * m * n; }
  size_t workspace_bytes() const { return parts == 1 ? 0 : static_cast<size_t>(parts) * static_cast<size_t>(elements()) * sizeof(float); }
  std::string text() const;  // "128x16 tiles, sum in 9 parts"
};
Product plan_product(int m, int n, int k, int groups = 1);

// workspace: (parts, groups, m, n). Adds the parts in a fixed order and finishes the elements.
void add_parts(const Product& product, const Epilogue& epilogue, const Launch& launch);

bool has_code_for_device();

}  // namespace fovea::cuda
