// A product in the order that its shape alone decides: how it is cut into tiles and parts of its sum, and how the parts are added up.
#pragma once

#include <iterator>
#include <string>

#include "fovea/backend/cuda/kernel.h"
#include "fovea/base/philox.h"

namespace fovea::cuda {

enum class Finish : uint8_t { nothing, relu, sigmoid, tanh, leaky_relu, gelu, gelu_tanh, silu };  // leaky_relu with a slope of 0
inline Finish finish_of(Activation activation) { return static_cast<Finish>(static_cast<int>(activation) + 1); }

// Where the elements of a product go and what is done to each: bias, activation, overwriting or adding.
struct Epilogue {
  void* out = nullptr;
  DType type = DType::f32;  // of the elements there
  int stride_m = 0, stride_n = 1;
  int group = 0;  // from one group's output to the next one's
  Into into = Into::overwrite;
  Finish finish = Finish::nothing;
  const float* bias = nullptr;  // (groups n); nullptr: none
};

constexpr int tile_k = 16;

// A block computes m x n elements, each of its threads rows x columns of them.
struct Tile {
  int m, n, rows, columns;
  FOVEA_HOST_DEVICE constexpr int threads() const { return m * n / (rows * columns); }
};

// How many neighbours of an operand are read at once.
enum class Width : uint8_t { one, four };
inline constexpr Tile narrow_tiles[] = {{32, 32, 4, 4}, {128, 16, 4, 4}, {128, 32, 4, 4}, {64, 64, 4, 4}};
inline constexpr Tile wide_tiles[] = {{256, 16, 8, 4}, {64, 16, 4, 4}, {128, 32, 8, 4}, {64, 32, 4, 4}, {128, 64, 8, 8}, {64, 64, 8, 4}};
template <int width>
inline constexpr int tile_count = static_cast<int>(width == 4 ? std::size(wide_tiles) : std::size(narrow_tiles));
template <int width, int which>
inline constexpr Tile tile_shape = width == 4 ? wide_tiles[which] : narrow_tiles[which % tile_count<1>];

// sum_k a(m, k) b(n, k) for each group. The sum is cut into `parts` of `tiles_per_part` tiles of tile_k products each.
struct Product {
  int m = 1, n = 1, k = 1, groups = 1;
  Width width = Width::one;
  int tile = 0, tile_m = 1, tile_n = 1;  // which of the tiles of this width, and its size
  int parts = 1, tiles_per_part = 1;

  int tiles() const { return ((m + tile_m - 1) / tile_m) * ((n + tile_n - 1) / tile_n) * groups; }
  FOVEA_HOST_DEVICE int elements() const { return groups * m * n; }
  size_t workspace_bytes() const { return parts == 1 ? 0 : static_cast<size_t>(parts) * static_cast<size_t>(elements()) * sizeof(float); }
  std::string text() const;  // "128x16 tiles, sum in 9 parts"
};

// Operands of 16 bits have a kernel for two tiles of each width alone.
enum class Tiles : uint8_t { all, few };
template <int width>
inline constexpr bool is_of_few(int which) {
  return width == 4 ? which == 3 || which == 4 : which == 0 || which == 3;
}

// The sizes of a product that is to be planned. `width` is four only where every size along which operands or output are read so is a
// multiple of 4.
struct ProductSizes {
  int m, n, k, groups = 1;
  Width width = Width::one;
  Tiles tiles = Tiles::all;
};
inline Tiles tiles_for(DType operands) { return operands == DType::f32 ? Tiles::all : Tiles::few; }
Product plan_product(const ProductSizes& sizes);

// workspace: (parts, groups, m, n). Adds the parts in a fixed order and finishes the elements.
void add_parts(const Product& product, const Epilogue& epilogue, const Launch& launch);

bool has_code_for_device();

}  // namespace fovea::cuda
