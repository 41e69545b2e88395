// What convolutions of few channels share: a tile of the image with its border and all filters in shared memory. Where a pixel is as wide
// as a pattern of the copy engine, that one fetches the tiles, each while the one before is multiplied.
#pragma once

#include <optional>

#include "fovea/backend/cuda/kernel.h"
#include "fovea/backend/cuda/tensor_tiles.cuh"
#include "fovea/backend/cuda/warp_mma.cuh"

namespace fovea::cuda {

constexpr int direct_threads = 256, direct_warps = direct_threads / 32;
constexpr int matrix_pixels = 16;

FOVEA_HOST_DEVICE constexpr int odd_pitch(int bytes) { return bytes / 16 % 2 == 1 ? bytes : bytes + 16; }

// Images (n, h, w, c), outputs (n, p, q, k); a tile is tile_h x tile_w outputs.
struct DirectShape {
  int n, h, w, c, p, q, k, r, s, stride_h, stride_w, pad_top, pad_left;
  int tile_h = 0, tile_w = 0, tiles_h = 0, tiles_w = 0, tiles = 0;
  bool folded = false;                  // a pixel in shared memory holds the channels of the s pixels under a line of the window
  bool transposed = false;              // filters are (c, r, s, k) and stand on their heads: the gradient by the image
  int rows = 0, columns = 0, line = 0;  // pixels of a tile with its border, channels of each
  int pitch = 0, filter_pitch = 0;      // bytes from pixel to pixel and from filter to filter
  int raw_bytes = 0;                    // of a line of the image as it is, for folding
  int pattern = 0;                      // bytes of that in which the copy engine lays the pixels down; 0: threads copy them
  int tile_w_bits = 0;                  // tile_w is a power of two
  Divider by_tiles_w = {}, by_tiles_h = {}, by_columns = {}, by_eights = {}, by_tile_w = {}, by_raw = {};

  FOVEA_HOST_DEVICE int taps() const { return folded ? r : r * s; }
  FOVEA_HOST_DEVICE int groups() const { return taps() * line / 8; }
  FOVEA_HOST_DEVICE int steps() const { return (groups() + 1) / 2; }
  FOVEA_HOST_DEVICE int filter_rows() const { return (k + 31) / 32 * 32; }
  FOVEA_HOST_DEVICE int image_bytes() const { return rows * columns * pitch; }
  FOVEA_HOST_DEVICE int slot_bytes() const { return (image_bytes() + pattern_bytes - 1) / pattern_bytes * pattern_bytes; }
  FOVEA_HOST_DEVICE int filter_bytes() const { return filter_rows() * filter_pitch; }
  FOVEA_HOST_DEVICE int raw_tile_bytes() const { return folded ? rows * raw_bytes + 64 : 0; }
  FOVEA_HOST_DEVICE int offset_bytes() const { return steps() * 2 * 4; }
  bool is_fetched_ahead() const { return folded || pattern > 0; }
  int64_t multiplied_pixels() const { return int64_t{tiles} * tile_h * tile_w; }
};

struct TilePlace {
  int n, p, q;  // of the first output
  __device__ TilePlace(const DirectShape& shape, int tile) {
    const Divided column = shape.by_tiles_w.divide(tile);
    const Divided row = shape.by_tiles_h.divide(column.quotient);
    n = row.quotient;
    p = row.remainder * shape.tile_h;
    q = column.remainder * shape.tile_w;
  }
};

// Where group g of the contraction lies from a window's first pixel on.
__device__ inline void write_offsets(const DirectShape& shape, int* offsets) {
  const int eights = shape.line / 8, s = shape.folded ? 1 : shape.s;
  for (int g = static_cast<int>(threadIdx.x); g < shape.steps() * 2; g += direct_threads) {
    const int tap = g / eights;
    offsets[g] = g < shape.groups() ? (tap / s * shape.columns + tap % s) * shape.pitch + g % eights * 16 : 0;
  }
}

// A tile of an image with channels by eights.
__device__ inline void load_tile(const DirectShape& shape, const TilePlace& place, const uint16_t* x, unsigned char* to) {
  const int h0 = place.p * shape.stride_h - shape.pad_top, w0 = place.q * shape.stride_w - shape.pad_left;
  const uint32_t base = shared_address(to);
#pragma unroll 4
  for (int i = static_cast<int>(threadIdx.x); i < shape.rows * shape.columns * (shape.line / 8); i += direct_threads) {
    const Divided pixel = shape.by_eights.divide(i);
    const Divided at = shape.by_columns.divide(pixel.quotient);
    const int h = h0 + at.quotient, w = w0 + at.remainder;
    const bool inside = h >= 0 && h < shape.h && w >= 0 && w < shape.w;
    const int64_t from = inside ? ((int64_t{place.n} * shape.h + h) * shape.w + w) * shape.c + pixel.remainder * 8 : 0;
    copy_sixteen(base + pixel.quotient * shape.pitch + pixel.remainder * 16, x + from, inside);
  }
  wait_for_all_copies();
}

// Of the image, in bytes from the tile's first pixel on, where the window of an output of the tile begins.
__device__ inline int window_offset(const DirectShape& shape, int row, int column) {
  return (row * shape.stride_h * shape.columns + (shape.folded ? column : column * shape.stride_w)) * shape.pitch;
}

// Tiles under way: the next one is fetched while this one is multiplied.
constexpr int tile_slots = 2;

// Where the copy engine lays down what without its pattern would be at this address: pieces of 16 bytes change places within a pixel.
template <int pattern>
__device__ __forceinline__ uint32_t in_pattern(uint32_t address) {
  constexpr uint32_t pieces = pattern == 0 ? 0 : pattern - 16;
  return address ^ (address >> 3 & pieces);
}

// The first pixel of a tile with its border: channel, w, h, n. What lies beyond the image is fetched as zeros.
__device__ inline int4 corner_of(const DirectShape& shape, const TilePlace& place) {
  return make_int4(0, place.q - shape.pad_left, place.p - shape.pad_top, place.n);
}

// ---- host ----

// The sizes but those of the tile; no value where the images cannot be fetched so.
std::optional<DirectShape> direct_shape(const Conv2dShape& image);
void set_tile(DirectShape& shape, int tile_h, int tile_w);
// The one with less air in its tiles; the first where both have the same.
std::optional<DirectShape> less_wasteful(std::optional<DirectShape> one, std::optional<DirectShape> other);
// Whether the copy engine can fetch the tiles, and these tiles as it then lays them down.
bool can_be_streamed(const DirectShape& shape);
void stream_tile(DirectShape& shape, int tile_h, int tile_w);
bool fits_copy_engine(const DirectShape& shape);
CUtensorMap map_of_image(const DirectShape& shape, const void* image, DType dtype);
bool suits_direct(const Conv2dShape& shape, const Types& types);

}  // namespace fovea::cuda
