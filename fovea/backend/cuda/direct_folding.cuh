// Tiles of images of so few channels that a pixel in shared memory holds the channels of all pixels under a line of the window: the lines
// of the image as they are, on their way while the tile before is multiplied, and folded out of them.
#pragma once

#include "fovea/backend/cuda/direct_tiles.cuh"

namespace fovea::cuda {

// Where a tile with its border begins in a line of the image, in bytes.
__device__ inline int first_byte_of(const DirectShape& shape, const TilePlace& place) {
  return (place.q * shape.stride_w - shape.pad_left) * shape.c * 2;
}

// The lines of a tile as they are, from the piece of 16 bytes on in which it begins.
__device__ inline void fetch_lines(const DirectShape& shape, const TilePlace& place, const uint16_t* x, unsigned char* raw) {
  const int h0 = place.p * shape.stride_h - shape.pad_top, first = first_byte_of(shape, place) & ~15, line_bytes = shape.w * shape.c * 2;
  const unsigned char* image = reinterpret_cast<const unsigned char*>(x) + int64_t{place.n} * shape.h * line_bytes;
  const uint32_t base = shared_address(raw);
  for (int i = static_cast<int>(threadIdx.x); i < shape.rows * (shape.raw_bytes / 16); i += direct_threads) {
    const Divided at = shape.by_raw.divide(i);
    const int h = h0 + at.quotient, byte = first + at.remainder * 16;
    const bool inside = h >= 0 && h < shape.h && byte >= 0 && byte < line_bytes;
    copy_sixteen(base + i * 16, image + (inside ? int64_t{h} * line_bytes + byte : 0), inside);
  }
}

// Number by number they may begin in the middle of a word; the words are shifted together. A thread stays in its column.
template <int eights>
__device__ __forceinline__ void fold_by(const DirectShape& shape, int skipped, const unsigned char* raw, unsigned char* to) {
  uint32_t kept[4];  // of the last eight
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    const int numbers = shape.s * shape.c - (eights - 1) * 8 - 2 * j;
    kept[j] = numbers >= 2 ? ~0u : numbers == 1 ? 0xFFFFu : 0u;
  }
  const int column = static_cast<int>(threadIdx.x) & (shape.tile_w - 1), first = skipped + column * shape.stride_w * shape.c;
  const int shift = (first & 1) * 16;
  raw += (first >> 1) * 4;
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x); i < shape.rows << shape.tile_w_bits; i += direct_threads) {
    const uint32_t* from = reinterpret_cast<const uint32_t*>(raw + (i >> shape.tile_w_bits) * shape.raw_bytes);
    uint4* pixel = reinterpret_cast<uint4*>(to + i * shape.pitch);
    uint32_t words[eights * 4 + 1];
#pragma unroll
    for (int j = 0; j <= eights * 4; ++j) words[j] = from[j];
#pragma unroll
    for (int j = 0; j < eights * 4; ++j) words[j] = __funnelshift_r(words[j], words[j + 1], shift);
#pragma unroll
    for (int j = 0; j < 4; ++j) words[(eights - 1) * 4 + j] &= kept[j];
#pragma unroll
    for (int e = 0; e < eights; ++e) pixel[e] = make_uint4(words[4 * e], words[4 * e + 1], words[4 * e + 2], words[4 * e + 3]);
  }
}
__device__ inline void fold(const DirectShape& shape, const TilePlace& place, const unsigned char* raw, unsigned char* to) {
  const int skipped = (first_byte_of(shape, place) & 15) / 2;
  switch (shape.line) {
    case 8:
      return fold_by<1>(shape, skipped, raw, to);
    case 16:
      return fold_by<2>(shape, skipped, raw, to);
    case 24:
      return fold_by<3>(shape, skipped, raw, to);
    default:
      return fold_by<4>(shape, skipped, raw, to);
  }
}

// One tile after another: each is folded when its lines are there, and those of the next are then on their way. No thread may be reading
// the image of the tile before when all have come to `wait`.
class FoldedTiles {
 public:
  __device__ FoldedTiles(const DirectShape& shape, const uint16_t* x, unsigned char* raw, unsigned char* image)
      : shape_(shape), x_(x), raw_(raw), image_(image) {
    fetch(static_cast<int>(blockIdx.x));
  }
  __device__ void wait() const {
    wait_for_all_copies();
    __syncthreads();
  }
  __device__ void fold_tile(int tile, const TilePlace& place) const {
    fold(shape_, place, raw_, image_);
    __syncthreads();
    fetch(tile + static_cast<int>(gridDim.x));
  }

 private:
  __device__ void fetch(int tile) const {
    if (tile < shape_.tiles) fetch_lines(shape_, TilePlace(shape_, tile), x_, raw_);
  }

  const DirectShape& shape_;
  const uint16_t* x_;
  unsigned char *raw_, *image_;
};

}  // namespace fovea::cuda
