// Which convolutions of few channels are multiplied out of tiles in shared memory, and how large these are.
#include <bit>

#include "fovea/backend/cuda/direct_tiles.cuh"
#include "fovea/backend/cuda/tensor_product.h"

namespace fovea::cuda {
namespace {

constexpr int most_direct_filters = 64, largest_direct_stride = 8;

}  // namespace

std::optional<DirectShape> direct_shape(const Conv2dShape& image) {
  const Window& window = image.window;
  const int64_t folded_line = window.s * image.c;
  DirectShape shape{.n = static_cast<int>(image.n),
                    .h = static_cast<int>(image.h),
                    .w = static_cast<int>(image.w),
                    .c = static_cast<int>(image.c),
                    .p = static_cast<int>(image.p()),
                    .q = static_cast<int>(image.q()),
                    .k = static_cast<int>(image.k),
                    .r = static_cast<int>(window.r),
                    .s = static_cast<int>(window.s),
                    .stride_h = static_cast<int>(window.stride_h),
                    .stride_w = static_cast<int>(window.stride_w),
                    .pad_top = static_cast<int>(window.pad_top),
                    .pad_left = static_cast<int>(window.pad_left),
                    .folded = image.c % 8 != 0};
  if (shape.folded && (folded_line > 32 || image.w * image.c % 8 != 0)) return std::nullopt;
  shape.line = static_cast<int>(ceil_of(shape.folded ? folded_line : image.c, 8)) * 8;
  shape.pitch = odd_pitch(shape.line * 2);
  shape.filter_pitch = odd_pitch(shape.steps() * 32);
  shape.by_eights = Divider(shape.line / 8);
  return shape;
}

void set_tile(DirectShape& shape, int tile_h, int tile_w) {
  shape.tile_h = tile_h;
  shape.tile_w = tile_w;
  shape.tile_w_bits = std::countr_zero(static_cast<unsigned>(tile_w));
  shape.tiles_h = static_cast<int>(ceil_of(shape.p, tile_h));
  shape.tiles_w = static_cast<int>(ceil_of(shape.q, tile_w));
  shape.tiles = shape.n * shape.tiles_h * shape.tiles_w;
  shape.rows = (tile_h - 1) * shape.stride_h + shape.r;
  shape.columns = shape.folded ? tile_w : (tile_w - 1) * shape.stride_w + shape.s;
  shape.raw_bytes = static_cast<int>(ceil_of(((tile_w - 1) * shape.stride_w + shape.s) * shape.c * 2 + 15, 16)) * 16;
  shape.by_tiles_w = Divider(shape.tiles_w);
  shape.by_tiles_h = Divider(shape.tiles_h);
  shape.by_columns = Divider(shape.columns);
  shape.by_tile_w = Divider(tile_w);
  shape.by_raw = Divider(shape.raw_bytes / 16);
}

std::optional<DirectShape> less_wasteful(std::optional<DirectShape> one, std::optional<DirectShape> other) {
  return !one || (other && other->multiplied_pixels() < one->multiplied_pixels()) ? other : one;
}

bool can_be_streamed(const DirectShape& shape) {
  return !shape.folded && shape.stride_h == 1 && shape.stride_w == 1 && (shape.c == 16 || shape.c == 32 || shape.c == 64);
}

void stream_tile(DirectShape& shape, int tile_h, int tile_w) {
  shape.pattern = shape.pitch = shape.c * 2;
  set_tile(shape, tile_h, tile_w);
}

bool fits_copy_engine(const DirectShape& shape) {
  constexpr int most = 256;  // pixels along a side
  return shape.rows <= most && shape.columns <= most;
}

CUtensorMap map_of_image(const DirectShape& shape, const void* image, DType dtype) {
  const int64_t sizes[] = {shape.c, shape.w, shape.h, shape.n};
  const int tile[] = {shape.c, shape.columns, shape.rows, 1};
  return map_of_tiles(image, dtype, sizes, tile);
}

bool suits_direct(const Conv2dShape& shape, const Types& types) {
  Conv2dShape even = shape;
  even.c = 8;
  const Window& window = shape.window;
  return suits_tensor_cores(even, types) && shape.k <= most_direct_filters && shape.c <= 64 && window.dilation_h == 1 &&
         window.dilation_w == 1 && std::max(window.stride_h, window.stride_w) <= largest_direct_stride &&
         shape.p() * shape.q() >= (shape.c % 8 == 0 ? 1024 : 256) && shape.n * shape.p() * shape.q() <= largest_count;
}

}  // namespace fovea::cuda
